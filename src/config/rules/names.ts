import type { Cluster } from '../schema.ts';
import { error, type Rule, warning } from './rule.ts';
import { perZone } from './spread.ts';

const reserved = ['bastion', 'etcd', 'master', 'masters', 'api', 'balancer', 'localhost'];

export const poolNames: Rule = function* ({ pools }) {
  for (const [i, { name }] of pools.entries()) {
    const first = pools.findIndex((pool) => pool.name === name);
    if (first < i)
      yield error('pools.duplicate', ['pools', i, 'name'], `Two pools are named ${name}`, {
        next: 'give one of the two another name',
      });
    if (reserved.includes(name))
      yield error('pools.name', ['pools', i, 'name'], `A pool cannot be named ${name}`, {
        why: 'machines of Slipway itself have that name',
        next: 'choose another name',
      });
  }
};

/** Machine names are host names, node names and DNS labels (RFC 1123: 63 characters). */
export const machineNames: Rule = function* (cluster) {
  const owners = new Map<string, string>();
  for (const [role, zones, count] of [
    ['etcd', cluster.etcd.zones, cluster.etcd.count],
    ['master', cluster.masters.zones, cluster.masters.count],
  ] as const)
    for (const [zone, most] of perZone(count, zones ?? cluster.zones))
      for (let n = 1; n <= most; n++) owners.set(n === 1 ? `${role}-${zone}` : `${role}-${zone}-${n}`, role);
  for (const [i, pool] of cluster.pools.entries()) {
    if (cluster.pools.findIndex((other) => other.name === pool.name) < i) continue;
    const path = ['pools', i, 'name'];
    for (const name of workerNames(cluster, pool)) {
      const other = owners.get(name);
      if (other !== undefined && other !== pool.name) {
        yield error('pools.name', path, `Machine ${name} of pool ${pool.name} would have the name of a machine of ${other}`, {
          next: 'choose another name for the pool',
        });
        break;
      }
      if (name.length > 63) {
        yield error('pools.name', path, `Machine ${name} would have a name of ${name.length} characters; DNS allows 63`, {
          next: 'shorten the name of the pool',
        });
        break;
      }
      owners.set(name, pool.name);
    }
  }
};

function* workerNames(cluster: Cluster, pool: Cluster['pools'][number]): Generator<string> {
  for (const [zone, most] of perZone(pool.max ?? pool.count ?? 0, pool.zones ?? cluster.zones))
    for (let n = 1; n <= most; n++) yield `${pool.name}-${zone}-${n}`;
}

/** What DNS and the clouds refuse beyond the shape of a label. */
export const clusterName: Rule = function* ({ name, provider }) {
  if (name.slice(2, 4) === '--' || name.includes('--'))
    yield warning('name.dashes', ['name'], `${name} holds two dashes in a row`, {
      why: 'some names made from it (buckets, internationalised DNS) may not have that',
    });
  if (name === 'localhost' || name === 'default')
    yield error('name.reserved', ['name'], `A cluster cannot be named ${name}`, { next: 'choose another name' });
  if (!provider.aws) return;
  // Load balancers: at most 32 characters, `slipway-` is ours; the name may not begin with internal-.
  if (name.length > 24)
    yield error('name.aws', ['name'], `${name} has ${name.length} characters; on AWS a cluster's name may have 24`, {
      why: 'load balancers have names of 32 characters at most, and part of that is ours',
    });
  if (/^(internal-|aws|amzn|sthree-)/.test(name))
    yield error('name.aws', ['name'], `AWS reserves names that begin as ${name} does`, { next: 'choose another name' });
};
