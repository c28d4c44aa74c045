import type { Cluster } from '../../src/config/schema.ts';
import { type Address, addressOf } from '../../src/plan/resource.ts';

/** What cluster.yaml names and Slipway did not make: seen by ID, never tagged, changed or deleted. */
export interface Existing {
  readonly vpc: string | undefined;
  /** IDs by address. */
  readonly subnets: Readonly<Record<Address, string>>;
}

export const existingOf = ({ provider }: Cluster): Existing => {
  const { id, publicSubnets = {}, privateSubnets = {} } = provider.aws?.vpc ?? {};
  const named = (side: string, ids: Readonly<Record<string, string>>) =>
    Object.entries(ids).map(([zone, subnet]) => [addressOf('aws.subnet', `${side}-${zone}`), subnet]);
  return { vpc: id, subnets: Object.fromEntries([...named('public', publicSubnets), ...named('private', privateSubnets)]) };
};
