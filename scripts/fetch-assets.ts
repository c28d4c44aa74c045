// Fills the asset cache for development and tests: `node scripts/fetch-assets.ts [KUBERNETES-VERSION|COMPONENT=VERSION...]`, then the test workload.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { openAssets } from '../src/assets/assets.ts';
import { assetsOf, type Chosen, versionsFor } from '../src/assets/catalogue.ts';
import type { Emit } from '../src/run/events.ts';
import { ensureTestapp } from '../test/support/testapp.ts';

const directory = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'slipway', 'assets');
const started = new Map<string, number>();
const seconds = (task: string) => ((Date.now() - (started.get(task) ?? 0)) / 1000).toFixed(1);
const emit: Emit = (event) => {
  if (event.type === 'started') started.set(event.task, Date.now());
  if (event.type === 'started') console.log(event.title);
  if (event.type === 'done') console.log(`${event.task}: ${seconds(event.task)} s`);
  if (event.type === 'failed') console.log(`${event.task} failed: ${event.what}`);
};
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort(new Error('interrupted')));
const assets = openAssets({ directory, emit, env: process.env });
const asked = process.argv.slice(2);
const chosen: Chosen = Object.fromEntries(asked.flatMap((each) => (each.includes('=') ? [each.split('=')] : [])));
const kubernetes = asked.filter((each) => !each.includes('='));
for (const version of kubernetes.length > 0 ? kubernetes : ['1.36.3'])
  await assets.ensure(assetsOf(versionsFor(version, chosen)), stop.signal);
console.log(await ensureTestapp(directory));
