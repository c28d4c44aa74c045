import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { renderUserData } from '../../../providers/aws/user-data.ts';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { assetKey } from '../../../src/assets/stored.ts';
import { designTopology } from '../../../src/cluster/design.ts';
import { designBundles } from '../../../src/components/bundles.ts';
import { poolBundleResources } from '../../../src/host/pools.ts';
import { type PoolBundleOutputs, poolBundle } from '../../../src/host/types/pool-bundle.ts';
import { sha256 } from '../../../src/plan/canonical.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { resolve } from '../../../src/plan/resolve.ts';
import type { Store } from '../../../src/store/store.ts';
import { aCluster } from '../builders.ts';
import { FakeRoot } from './fake-root.ts';
import type { JoinApi } from './join-api.ts';
import type { MachineCloud } from './machine-cloud.ts';

/** The machine's view of S3, as the CLI's store. */
export const storeOf = ({ objects }: MachineCloud): Store => ({
  url: 's3://store',
  get: async (key) => {
    const found = objects.get(key);
    const bytes = Buffer.from(found ?? '', 'latin1');
    return found === undefined ? undefined : { version: '1', bytes: async () => bytes, stream: () => Readable.from(bytes) };
  },
  put: async (key, body) => {
    objects.set(key, (body instanceof Uint8Array ? Buffer.from(body) : await buffer(body)).toString('latin1'));
    return '1';
  },
  list: async (prefix) => [...objects.keys()].filter((key) => key.startsWith(prefix)).sort(),
  delete: async (key) => void objects.delete(key),
});

export const awsTopology = (over: Parameters<typeof aCluster>[0] = {}) => {
  const cluster = aCluster({
    provider: { aws: { region: 'eu-central-1' } },
    zones: ['eu-central-1a'],
    masters: { count: 1 },
    etcd: { count: 1 },
    pools: [{ name: 'workers', min: 1, max: 3, labels: { 'example.com/tier': 'one' } }],
    ...over,
  });
  return designTopology(cluster, { uid: 'u', slots: { zones: {}, pools: {} } }, versionsFor(cluster.kubernetes.version));
};

/** Publishes the bundle of the pool `workers` whose machines find their API here. */
export async function publishPool(
  cloud: MachineCloud,
  api: JoinApi,
  topology = awsTopology(),
  packages?: string,
): Promise<PoolBundleOutputs> {
  const port = Number(new URL(api.url).port);
  const here = { ...topology, api: { name: '127.0.0.1', address: '', port } };
  const bundles = designBundles(here);
  const [resource] = poolBundleResources(here, bundles, [], packages);
  if (!resource) throw new Error('no pool');
  for (const path of resource.props.assets) cloud.objects.set(assetKey(sha256(path), path), path);
  const seen = new ObservedMap();
  for (const [name, { certPem }] of Object.entries({ kubernetes: api.authority, nodes: api.nodes }))
    seen.set(`pki.authority/${name}`, { state: 'present', props: {}, outputs: { certificate: certPem } });
  const props = resolve(resource.props, seen).props as Parameters<NonNullable<typeof poolBundle.create>>[0];
  const clients = { store: storeOf(cloud), poolBundle: () => bundles.get('pool-workers') };
  const context = {
    address: resource.address,
    clients,
    signal: new AbortController().signal,
    since: 0,
    token: '',
    hold: [],
    secrets: { reveal: async () => new Uint8Array() },
    progress: () => {},
  };
  const made = await poolBundle.create?.(props, context);
  if (!made) throw new Error('nothing was published');
  return made;
}

/** A machine of the pool that has booted and unpacked its bundle; `join` is what slipway-boot ends with. */
export async function poolMachine(cloud: MachineCloud, { key, digest }: PoolBundleOutputs) {
  const root = new FakeRoot({ sleep: 'exec /bin/sleep 0.05' });
  const userData = renderUserData({
    cluster: 'demo',
    region: 'eu-central-1',
    bucket: 'store',
    role: 'worker',
    roleId: 'AROATESTROLE',
    authorizedKey: 'ssh-ed25519 AAAA',
    machine: { pool: 'workers', bundle: { key, digest } },
    endpoints: { s3: cloud.url, metadata: cloud.url },
  });
  await root.run(userData);
  const booted = await root.run(root.read('/usr/local/sbin/slipway-boot').replace(/^exec sh .*$/m, 'exit 0'));
  if (booted.code !== 0) throw new Error(booted.stdout + booted.stderr);
  const moveTree = (text: string): string => root.moved(text).replaceAll('/root/etc/slipway', `/root${root.path}/etc/slipway`);
  const unpack = async (): Promise<void> => {
    const tar = extract();
    tar.end(Buffer.from(cloud.objects.get(key) ?? '', 'latin1'));
    for await (const entry of tar) {
      const content = await buffer(entry);
      const { name } = entry.header;
      if (name.startsWith('root/')) root.write(`/var/lib/slipway/pool/root${root.path}/${name.slice('root/'.length)}`, content);
      else root.write(`/var/lib/slipway/pool/${name}`, name === 'env' ? content : moveTree(content.toString()), 0o600);
    }
  };
  return {
    root,
    async join() {
      await unpack();
      return root.run(root.read('/var/lib/slipway/pool/join'), [`${root.path}/var/lib/slipway/pool`]);
    },
  };
}
