import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { renderConfigReference, renderJsonSchema } from '../src/config/json-schema.ts';
import { statusSchema } from '../src/health/status.ts';
import { planSchema } from '../src/plan/plan.ts';
import { backupListSchema } from '../src/recovery/result.ts';
import { upgradePlanSchema } from '../src/rollout/upgrade-plan.ts';
import { eventSchema } from '../src/run/events.ts';
import { renderActions, renderPolicy } from './aws-actions.ts';
import { renderAwsPage } from './aws-page.ts';
import { renderCommandReference } from './command-reference.ts';
import { readCommands } from './commands.ts';

// References and schemas that come from the code: `npm run generate` writes them, `--check` fails when one is not current.
const root = fileURLToPath(new URL('..', import.meta.url));
const published = (schema: z.ZodType, title: string, description: string): string =>
  `${JSON.stringify({ title, description, ...z.toJSONSchema(schema, { io: 'output' }) }, undefined, 2)}\n`;

const files: Readonly<Record<string, string>> = {
  'docs/commands.md': renderCommandReference(await readCommands()),
  'docs/aws.md': renderAwsPage(),
  'docs/aws-policy.json': renderPolicy(),
  'docs/config.md': renderConfigReference(),
  'providers/aws/actions.json': renderActions(),
  'schema/cluster.schema.json': renderJsonSchema(),
  'schema/plan.schema.json': published(planSchema, 'Slipway plan', 'What `cluster plan -o json` and `cluster plan --out` write'),
  'schema/upgrade.schema.json': published(
    upgradePlanSchema,
    'Slipway upgrade',
    'What `cluster upgrade --dry-run -o json` and `cluster upgrade --dry-run --out` write',
  ),
  'schema/event.schema.json': published(
    eventSchema,
    'Slipway event',
    'One line of what `cluster up -o json` writes while it runs; its last line is the result',
  ),
  'schema/backups.schema.json': published(
    backupListSchema,
    'Slipway recovery points',
    'What `cluster backup list -o json` writes',
  ),
  'schema/status.schema.json': published(statusSchema, 'Slipway status', 'What `cluster status -o json` writes'),
};

const current = (file: string): string | undefined => {
  try {
    return readFileSync(`${root}${file}`, 'utf8');
  } catch {
    return undefined;
  }
};
const stale = Object.entries(files).filter(([file, text]) => current(file) !== text);
if (process.argv.includes('--check')) {
  for (const [file] of stale) console.error(`${file} is not current. Next: npm run generate`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  for (const [file, text] of stale) {
    mkdirSync(dirname(`${root}${file}`), { recursive: true });
    writeFileSync(`${root}${file}`, text);
    console.error(`wrote ${file}`);
  }
}
