import { z } from 'zod';
import type { Cluster, ProviderName } from '../config/schema.ts';
import { exitCodes, UserError } from '../errors.ts';
import type { Address, Observed } from '../plan/resource.ts';

/**
 * What a cluster stands on and can never change while it stands: certificates, etcd's data, every Pod and every Service hold these. Each name is the
 * path in cluster.yaml, for the message.
 */
export const foundationSchema = z.strictObject({
  provider: z.enum(['local', 'aws', 'gcp']),
  region: z.string().optional(),
  'provider.aws.vpc.id': z.string().optional(),
  'network.machines': z.string(),
  'network.pods': z.string(),
  'network.services': z.string(),
  'network.plugin': z.string(),
});
export type Foundation = z.infer<typeof foundationSchema>;

export function foundationOf({ provider, network }: Cluster): Foundation {
  const region = provider.aws?.region ?? provider.gcp?.region;
  return {
    provider: nameOf(provider),
    ...(region !== undefined && { region }),
    ...(provider.aws?.vpc && { 'provider.aws.vpc.id': provider.aws.vpc.id }),
    'network.machines': network.machines,
    'network.pods': network.pods,
    'network.services': network.services,
    'network.plugin': network.plugin,
  };
}
const nameOf = (provider: Cluster['provider']): ProviderName => (provider.local ? 'local' : provider.aws ? 'aws' : 'gcp');

/** Throws UserError (config) when the file moves what a standing cluster is founded on: half of it would follow, and the other half could not. */
export function refuseMoved(founded: Foundation | undefined, cluster: Cluster, file: string): void {
  if (!founded) return;
  const [then, now] = [new Map(Object.entries(founded)), new Map(Object.entries(foundationOf(cluster)))];
  const moved = [...new Set([...then.keys(), ...now.keys()])].filter((path) => then.get(path) !== now.get(path));
  if (moved.length === 0) return;
  const said = (value: string | undefined): string => value ?? 'nothing';
  throw new UserError(
    {
      what: `${moved.join(', ')} cannot change while the cluster stands`,
      where: file,
      why: moved
        .map((path) => `${path} is ${said(then.get(path))} in the cluster, and ${said(now.get(path))} in the file`)
        .join('\n'),
      next: 'put it back; for a cluster with other values choose another name, or begin from nothing (cluster down --allow-data-loss)',
    },
    exitCodes.config,
  );
}

/** Throws when a key that this cluster had is gone: made anew it would be another, which no machine trusts and no stored Secret opens. */
export function refuseLostKeys(recorded: readonly Address[] | undefined, seen: Observed, where: string): void {
  const lost = (recorded ?? []).filter((address) => seen.get(address) === undefined);
  if (lost.length === 0) return;
  throw new UserError({
    what: `keys of this cluster are lost: ${lost.join(', ')}`,
    where,
    why: 'others in their place would cut off every machine that trusts these',
    next: 'bring back `secrets` of the store from a backup of it',
  });
}
