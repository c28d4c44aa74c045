import type { PoolGroup, Topology } from '../cluster/topology.ts';
import type { Bundle } from '../components/bundle.ts';
import { identityOf } from '../components/bundles.ts';
import { requestLine } from '../components/joining.ts';
import { templateText } from '../components/template.ts';
import { sha256 } from '../plan/canonical.ts';
import { type Address, addressOf, type Resource } from '../plan/resource.ts';
import { type BundleProps, propsOf } from './design.ts';

export interface PoolBundleProps extends BundleProps {
  /** Calls of templates/host/join, one a certificate. */
  readonly certificates: Readonly<Record<string, string>>;
  /** Digest of the scripts that come with it: another version of Slipway may join machines otherwise. */
  readonly scripts: string;
  /** The packages of its system are upgraded then or later, before anything else; undefined: they stay as the image has them. */
  readonly packages?: string;
}

/** `pool.bundle/POOL`: what machines that an autoscaler makes should hold, for their first boot. Pure. */
export const poolBundleResources = (
  topology: Topology,
  bundles: ReadonlyMap<string, Bundle>,
  after: readonly Address[],
  packages?: string,
): readonly Resource<PoolBundleProps>[] =>
  [...new Map(topology.groups.map((group) => [group.pool, group])).values()].map((group) => {
    const bundle = bundles.get(group.bundle);
    if (!bundle) throw new Error(`no bundle ${group.bundle}`);
    return {
      address: addressOf('pool.bundle', group.pool),
      type: 'pool.bundle',
      props: {
        ...propsOf(bundle).bundle,
        identity: poolIdentity(group, topology),
        certificates: Object.fromEntries(bundle.certificates.map((spec) => [spec.name, requestLine(spec)])),
        scripts: sha256(scripts.map((name) => templateText(`host/${name}`)).join('\0')),
        ...(packages !== undefined && { packages }),
      },
      after,
    };
  });

const scripts = ['common', 'converge', 'fetch', 'join', 'packages'];

/** The part of host.env that all machines of a pool share. The rest (name, address, zone, type, provider ID) each finds out by itself. */
function poolIdentity({ name, pool, zone, bundle }: PoolGroup, topology: Topology): Readonly<Record<string, string>> {
  const machine = { name, role: 'worker', zone, address: '', pool, instanceType: '', bundle } as const;
  const own = new Set(['NODE_NAME', 'NODE_IP', 'ZONE', 'INSTANCE_TYPE', 'PROVIDER_ID']);
  return Object.fromEntries(Object.entries(identityOf(machine, topology)).filter(([key]) => !own.has(key)));
}

/** Where the machines of a pool find it: content and place are one. */
export const poolBundleKey = (pool: string, digest: string): string => `pools/${pool}/${digest}.tar`;
