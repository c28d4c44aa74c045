/** Machine types where cluster.yaml names none. The schema's own default is that of the local provider. */
const types = {
  aws: { bastion: 't3.micro', etcd: 't3.medium', masters: 't3.large', pools: 't3.large' },
  gcp: { bastion: 'e2-micro', etcd: 'e2-medium', masters: 'e2-standard-2', pools: 'e2-standard-2' },
} as const;

/**
 * Machines of a cloud's groups can only be made anew, and a spare one costs some minutes of a machine: so a pool is upgraded by replacement, surge first,
 * as people who come from kops know it, unless it says otherwise.
 */
function withReplacement(pool: unknown): unknown {
  if (!isMapping(pool)) return pool;
  const upgrade = pool.upgrade ?? {};
  if (!isMapping(upgrade)) return pool;
  const { strategy = 'replace', maxSurge = 1 } = upgrade;
  if (strategy !== 'replace') return pool;
  const spares = typeof maxSurge === 'string' ? Number.parseInt(maxSurge, 10) : maxSurge;
  return { ...pool, upgrade: { strategy, maxSurge, ...(spares !== 0 && { maxUnavailable: 0 }), ...upgrade } };
}

/** cluster.yaml's data with the defaults of its provider. What has not the right shape stays as it is: the schema says so. */
export function withProviderDefaults(value: unknown): unknown {
  if (!isMapping(value) || !isMapping(value.provider)) return value;
  const provider = isMapping(value.provider.aws) ? 'aws' : isMapping(value.provider.gcp) ? 'gcp' : undefined;
  if (provider === undefined) return value;
  const defaults = types[provider];
  const pools = value.pools;
  const inGroups = provider === 'aws' ? withReplacement : (pool: unknown) => pool;
  return {
    ...value,
    bastion: withType(value.bastion, defaults.bastion),
    etcd: withType(value.etcd, defaults.etcd),
    masters: withType(value.masters, defaults.masters),
    ...(Array.isArray(pools)
      ? { pools: pools.map((pool: unknown) => (isMapping(pool) ? inGroups(withType(pool, defaults.pools)) : pool)) }
      : {}),
  };
}

function withType(group: unknown, type: string): unknown {
  if (group === undefined) return { machine: { type } };
  if (!isMapping(group)) return group;
  const { machine } = group;
  if (machine === undefined) return { ...group, machine: { type } };
  return isMapping(machine) ? { ...group, machine: { type, ...machine } } : group;
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
