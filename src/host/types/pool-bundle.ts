import { z } from 'zod';
import { storedAssets } from '../../assets/stored.ts';
import type { Bundle } from '../../components/bundle.ts';
import { parseJson, sha256 } from '../../plan/canonical.ts';
import { fields } from '../../plan/fields.ts';
import {
  addressOf,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import type { Store } from '../../store/store.ts';
import { bundleEntries, packed, type TarEntry } from '../converge.ts';
import { filesOf, joinPem, renderHostEnv } from '../manifest.ts';
import { type PoolBundleProps, poolBundleKey } from '../pools.ts';
import { quote } from '../quote.ts';
import { script } from '../scripts.ts';
import { diffBundle } from './bundle.ts';

/** What publishing talks through. */
export interface PoolBundleClients {
  readonly store: Store;
  /** The design's bundle of a pool. */
  poolBundle(pool: string): Bundle | undefined;
}
export interface PoolBundleOutputs {
  /** SHA-256 of the tar: what a launch template names, and a machine compares. */
  readonly digest: string;
  readonly key: string;
}

const prefix = 'pools/';
const currentKey = (pool: string): string => `${prefix}${pool}/current.json`;
const textFields = z.record(z.string(), z.string());
const currentSchema = z.object({
  digest: z.string(),
  key: z.string(),
  props: z.object({
    bundle: z.string(),
    identity: textFields,
    files: z.record(z.string(), z.object({ mode: z.string(), digest: z.string() })),
    units: textFields,
    assets: z.array(z.string()),
    certificates: textFields,
    scripts: z.string(),
    packages: z.string().optional(),
  }),
});

/**
 * A pool's bundle in the store. A machine made by an autoscaler fetches it, checked by the digest that its launch template names, so that
 * publishing another one changes nothing for machines of today's template. What older ones left there stays: templates still name it.
 */
export const poolBundle: ResourceType<PoolBundleProps, PoolBundleOutputs, PoolBundleClients> = {
  name: 'pool.bundle',
  dependsOn: ['store.assets'],
  shrink: 'now',
  async observe({ clients: { store } }) {
    const keys = (await store.list(prefix)).filter((key) => key.endsWith('/current.json'));
    const seen = await Promise.all(
      keys.map(async (key) => {
        const found = await store.get(key);
        // Damaged is as good as not there: it is written anew.
        const parsed = currentSchema.safeParse(found && parseJson(new TextDecoder().decode(await found.bytes())));
        if (!parsed.success) return [];
        const { props: all, ...outputs } = parsed.data;
        const { packages, ...rest } = all;
        const props = { ...rest, ...(packages !== undefined && { packages }) };
        const observation: Observation<PoolBundleProps, PoolBundleOutputs> = { state: 'present', props, outputs };
        return [[addressOf('pool.bundle', key.slice(prefix.length, -'/current.json'.length)), observation] as const];
      }),
    );
    return new Map(seen.flat());
  },
  diff: (desired, observed) => [
    ...diffBundle(desired, observed),
    ...diffCertificates(desired, observed),
    ...diffScripts(desired, observed),
    ...diffPackages(desired, observed),
  ],
  create: (desired, ctx) => publish(desired, ctx),
  update: (desired, _outputs, ctx) => publish(desired, ctx),
  async delete(_outputs, { address, clients: { store } }) {
    await store.delete(currentKey(nameOf(address)));
  },
};

function diffCertificates(desired: Resolved<PoolBundleProps>, observed: Resolved<PoolBundleProps>): readonly FieldChange[] {
  const names = new Set([...Object.keys(desired.certificates), ...Object.keys(observed.certificates)]);
  return [...names].flatMap((name): FieldChange[] => {
    const [before = null, after = null] = [observed.certificates[name], desired.certificates[name]];
    return before === after ? [] : [{ path: `certificates.${name}`, before, after, impact: 'none' }];
  });
}

function diffPackages(desired: Resolved<PoolBundleProps>, observed: Resolved<PoolBundleProps>): readonly FieldChange[] {
  const [before, after] = [observed.packages ?? null, desired.packages ?? null];
  return before === after ? [] : [{ path: 'packages', before, after, impact: 'none' }];
}
const diffScripts = fields<Pick<PoolBundleProps, 'scripts'>>({ scripts: 'none' });

async function publish(
  desired: Resolved<PoolBundleProps>,
  { address, clients, progress }: Context<PoolBundleClients>,
): Promise<PoolBundleOutputs> {
  const { store } = clients;
  const pool = nameOf(address);
  const bundle = clients.poolBundle(pool);
  if (!bundle) throw new Error(`${pool} is no pool of the design`);
  const digests = await storedAssets(store);
  const tar = await packed(await entriesOf(desired, bundle, digests));
  const digest = sha256(tar);
  const outputs = { digest, key: poolBundleKey(pool, digest) };
  await store.put(outputs.key, tar);
  const files = Object.fromEntries(
    Object.entries(desired.files).map(([path, file]) => [
      path,
      { mode: file.mode, digest: 'pem' in file ? sha256(joinPem(file.pem)) : file.digest },
    ]),
  );
  const { bundle: name, identity, units, assets, certificates, scripts, packages } = desired;
  const current = {
    ...outputs,
    props: { bundle: name, identity, files, units, assets, certificates, scripts, ...(packages !== undefined && { packages }) },
  };
  await store.put(currentKey(pool), new TextEncoder().encode(JSON.stringify(current)));
  progress(`published as ${outputs.key}`);
  return outputs;
}

/** What templates/host/join works with: converge's own entries, and its data beside them. */
async function entriesOf(
  desired: Resolved<PoolBundleProps>,
  bundle: Bundle,
  digests: ReadonlyMap<string, string>,
): Promise<readonly TarEntry[]> {
  const contents = new Map(
    filesOf(bundle).map(({ path, content }): [string, Uint8Array] => {
      const props = desired.files[path];
      if ('text' in content) return [path, Buffer.from(content.text)];
      if ('secret' in content || !props || !('pem' in props)) throw new Error(`${path} cannot be part of a pool's bundle`);
      return [path, Buffer.from(joinPem(props.pem))];
    }),
  );
  const wanted = desired.assets.map((path) => {
    const sha = digests.get(path);
    if (sha === undefined) throw new Error(`the store does not have ${path}`);
    return `want ${sha} ${quote(path)}\n`;
  });
  const entry = (name: string, content: string): TarEntry => ({ name, mode: '0600', content });
  return [
    ...(await bundleEntries({ bundle, identity: undefined, contents, held: [], generation: 0 })),
    entry('join', await script('join')),
    entry('fetch', await script('fetch')),
    ...(desired.packages === undefined
      ? []
      : [entry('packages', await script('packages')), entry('since', `${desired.packages}\n`)]),
    entry('env', renderHostEnv(desired.identity)),
    entry('assets', wanted.join('')),
    entry('certificates', `${Object.values(desired.certificates).join('\n')}\n`),
  ];
}
