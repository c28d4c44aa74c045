import { badKey, badValue, kubernetesPrefix } from '../qualified-name.ts';
import { error, type Rule, warning } from './rule.ts';

export const poolSize: Rule = function* ({ pools, provider }) {
  for (const [i, { name, count, min, max }] of pools.entries()) {
    const path = ['pools', i];
    if (count !== undefined && (min !== undefined || max !== undefined))
      yield error('pools.size', [...path, 'count'], `Pool ${name} has count and ${min === undefined ? 'max' : 'min'}`, {
        why: 'a pool has a fixed size or is autoscaled',
        next: 'keep count, or min and max',
      });
    else if (count === undefined && (min === undefined || max === undefined))
      yield error(
        'pools.size',
        min !== undefined ? [...path, 'min'] : max !== undefined ? [...path, 'max'] : path,
        `Pool ${name} has no ${min === undefined && max === undefined ? 'size' : min === undefined ? 'min' : 'max'}`,
        { next: 'add count, or both min and max' },
      );
    else if (min !== undefined && max !== undefined && min > max)
      yield error('pools.size', [...path, 'min'], `Pool ${name} has min ${min}, more than max ${max}`);
    if (provider.local && count === undefined && min !== undefined && max !== undefined)
      yield warning('pools.local', [...path, 'max'], `Pool ${name} stays at its min, ${min}`, {
        why: 'the local provider has no autoscaler',
        next: `use count: ${min}`,
      });
  }
};

/** Where machines of pools have addresses of their own each pool takes one of the 15 blocks of a zone's slot; groups of a cloud share its subnet. */
const blocks = 15;
export const poolCount: Rule = function* ({ pools, provider }) {
  if (!provider.aws && pools.length > blocks)
    yield error(
      'pools.count',
      ['pools', blocks],
      `${pools.length} pools are more than the address range has blocks for: ${blocks}`,
      {
        next: 'join pools of like machines',
      },
    );
};

export const spot: Rule = function* ({ pools, provider }) {
  for (const [i, pool] of pools.entries())
    if (pool.spot && provider.local)
      yield warning('pools.local', ['pools', i, 'spot'], `spot of pool ${pool.name} has no effect with the local provider`, {
        next: 'remove it',
      });
};

/** A kubelet refuses to start with labels of Kubernetes' own prefixes but these (k8s.io/kubernetes: pkg/kubelet/apis/well_known_labels.go). */
const openPrefix = /(^|\.)(node|kubelet)\.kubernetes\.io$/;
const owned = ['node.kubernetes.io/instance-type'];
export const labels: Rule = function* ({ pools }) {
  for (const [i, pool] of pools.entries()) {
    for (const [key, value] of Object.entries(pool.labels)) {
      const path = ['pools', i, 'labels', key];
      const keyProblem = badKey(key);
      if (keyProblem !== undefined)
        yield error('pools.label', path, `Kubernetes refuses the label key ${JSON.stringify(key)}: ${keyProblem}`, {
          onKey: true,
        });
      const valueProblem = badValue(value);
      if (valueProblem !== undefined)
        yield error(
          'pools.label',
          path,
          `Kubernetes refuses the value ${JSON.stringify(value.slice(0, 80))} of label ${key}: ${valueProblem}`,
        );
      const prefix = kubernetesPrefix(key);
      if (prefix !== undefined && (!openPrefix.test(prefix) || owned.includes(key)))
        yield error('pools.label', path, `The label ${key} cannot be set by a pool`, {
          onKey: true,
          why:
            prefix === 'node-role.kubernetes.io'
              ? 'role labels decide what a node is trusted with: Slipway sets them'
              : `${prefix} belongs to Kubernetes: zones, names, types and roles are set by Slipway`,
          next: 'use a prefix of your own, such as example.com/tier',
        });
    }
  }
};

export const taints: Rule = function* ({ pools }) {
  for (const [i, pool] of pools.entries()) {
    for (const [j, { key, value, effect }] of pool.taints.entries()) {
      const path = ['pools', i, 'taints', j];
      const keyProblem = badKey(key);
      if (keyProblem !== undefined)
        yield error('pools.taint', [...path, 'key'], `Kubernetes refuses the taint key ${JSON.stringify(key)}: ${keyProblem}`);
      const valueProblem = badValue(value);
      if (valueProblem !== undefined)
        yield error(
          'pools.taint',
          [...path, 'value'],
          `Kubernetes refuses the value ${JSON.stringify(value.slice(0, 80))} of taint ${key}: ${valueProblem}`,
        );
      if (pool.taints.findIndex((other) => other.key === key && other.effect === effect) < j)
        yield error('pools.taint', path, `Pool ${pool.name} has the taint ${key}:${effect} twice`, {
          why: 'Kubernetes allows one a key and effect',
        });
      if (/^node\.(cloudprovider\.)?kubernetes\.io\//.test(key))
        yield error('pools.taint', [...path, 'key'], `The taint ${key} belongs to Kubernetes`, {
          why: 'its controllers set and remove it',
          next: 'use a key of your own, such as dedicated',
        });
    }
  }
};
