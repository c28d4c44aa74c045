import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { versionsFor } from '../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../src/cluster/design.ts';
import type { Topology } from '../../src/cluster/topology.ts';
import { designAddons } from '../../src/components/addons.ts';
import type { Bundle } from '../../src/components/bundle.ts';
import { designBundles, identityOf } from '../../src/components/bundles.ts';
import { clusterSchema } from '../../src/config/schema.ts';

/** What the machines and clusters of the examples get, to be reviewed like code. `npx vitest run --project fast test/golden -u` writes them anew. */
describe.each(['cluster', 'full'])('examples/local/%s.yaml', (name) => {
  const topology = topologyOf(`../../examples/local/${name}.yaml`);

  it.each([...designBundles(topology)])('bundle %s', async (bundleName, bundle) => {
    await expect(bundleText(bundle)).toMatchFileSnapshot(`bundles/${name}/${bundleName}.txt`);
  });

  it('identities', async () => {
    const text = topology.machines
      .map((machine) =>
        [`# ${machine.name}`, ...Object.entries(identityOf(machine, topology)).map(([k, v]) => `${k}=${v}`)].join('\n'),
      )
      .join('\n\n');
    await expect(`${text}\n`).toMatchFileSnapshot(`bundles/${name}/identities.txt`);
  });

  it('addons', async () => {
    await expect(`${JSON.stringify(designAddons(topology), undefined, 2)}\n`).toMatchFileSnapshot(`bundles/${name}/addons.json`);
  });
});

/** What runs in a cluster on AWS, and its kubelets' side of it. */
describe('clusters/aws-ha.yaml', () => {
  const topology = topologyOf('clusters/aws-ha.yaml');
  const bundles = designBundles(topology);

  it.each(['master', 'pool-workers'])('bundle %s', async (name) => {
    const bundle = bundles.get(name);
    await expect(bundle && bundleText(bundle)).toMatchFileSnapshot(`bundles/aws-ha/${name}.txt`);
  });

  it('addons', async () => {
    await expect(`${JSON.stringify(designAddons(topology), undefined, 2)}\n`).toMatchFileSnapshot('bundles/aws-ha/addons.json');
  });
});

function topologyOf(path: string): Topology {
  const text = readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8');
  const cluster = clusterSchema.parse(parse(text));
  return designTopology(cluster, noIdentity, versionsFor(cluster.kubernetes.version));
}

function bundleText(bundle: Bundle): string {
  const title = (text: string) => `======== ${text}`;
  return [
    ...bundle.files.map(({ path, mode, content }) => [
      title(`${mode} ${path}`),
      'text' in content ? content.text.trimEnd() : JSON.stringify(content),
    ]),
    ...bundle.units.map(({ name, text, ...rest }) => [title(name), text.trimEnd(), JSON.stringify(rest)]),
    [title('certificates'), ...bundle.certificates.map((certificate) => JSON.stringify(certificate))],
    [title('assets'), ...bundle.assets.map((asset) => asset.path)],
    [title('probes'), ...bundle.probes.map((probe) => `${probe.name}: ${probe.command}`)],
  ]
    .flat()
    .join('\n')
    .concat('\n');
}
