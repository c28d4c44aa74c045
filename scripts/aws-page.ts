import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { versionsFor } from '../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../src/cluster/design.ts';
import { firewall, parties } from '../src/cluster/firewall.ts';
import { withProviderDefaults } from '../src/config/provider-defaults.ts';
import { clusterSchema } from '../src/config/schema.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const [begin, end] = ['<!-- firewall: from src/cluster/firewall.ts, by npm run generate -->', '<!-- end of firewall -->'];

/** docs/aws.md with its table of firewall rules as the code has it, for the HA example with an API that is open to a range. */
export function renderAwsPage(): string {
  const page = readFileSync(`${root}docs/aws.md`, 'utf8');
  const [before, rest] = page.split(begin, 2);
  const after = rest?.split(end, 2)[1];
  if (before === undefined || after === undefined) throw new Error('docs/aws.md has no place for the firewall table');
  return `${before}${begin}\n\n${table()}\n\n${end}${after}`;
}

function table(): string {
  const file = parse(readFileSync(`${root}examples/aws/ha.yaml`, 'utf8'));
  const cluster = clusterSchema.parse(
    withProviderDefaults({ ...file, kubernetes: { api: { allowedCidrs: ['198.51.100.0/24'] } } }),
  );
  const openings = firewall(designTopology(cluster, noIdentity, versionsFor(cluster.kubernetes.version)));
  const rows = parties.flatMap((to) => {
    const own = Map.groupBy(
      openings.filter((opening) => opening.to === to),
      ({ protocol, ports, why }) =>
        `${protocol} ${ports === undefined ? '' : ports[0] === ports[1] ? ports[0] : ports.join('-')}|${why}`,
    );
    return [...own].map(([key, some]) => {
      const [port = '', why = ''] = key.split('|');
      const from = some.map((opening) => (typeof opening.from === 'string' ? opening.from : 'ranges of cluster.yaml')).join(', ');
      return `| ${to} | ${port} | ${from} | ${why} |`;
    });
  });
  return ['| To | Port | From | What |', '|---|---|---|---|', ...rows].join('\n');
}
