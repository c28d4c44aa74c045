import { awsSize, awsTypeShape, gcpTypeShape, isKnownBurstable } from '../instance-types.ts';
import { type Path, pathText } from '../path.ts';
import { quantityOf } from '../quantity.ts';
import type { Cluster } from '../schema.ts';
import { error, type Rule, warning } from './rule.ts';

const machines = (cluster: Cluster): readonly { readonly path: Path; readonly type: string }[] => [
  { path: ['bastion', 'machine', 'type'], type: cluster.bastion.machine.type },
  { path: ['etcd', 'machine', 'type'], type: cluster.etcd.machine.type },
  { path: ['masters', 'machine', 'type'], type: cluster.masters.machine.type },
  ...cluster.pools.map((pool, i) => ({ path: ['pools', i, 'machine', 'type'], type: pool.machine.type })),
];

export const machineTypes: Rule = function* (cluster) {
  for (const { path, type } of machines(cluster)) {
    if (cluster.provider.local && type !== 'local')
      yield error('machine.type', path, `${pathText(path)} is ${type}; the local provider has one machine type: local`, {
        next: 'remove machine',
      });
    if (cluster.provider.aws && (!awsTypeShape.test(type) || (isKnownBurstable(type) && !awsSize(type))))
      yield error('machine.type', path, `${pathText(path)} is ${type}, which is no instance type of AWS`, {
        next: 'such as t3.large or m7i.xlarge',
      });
    if (cluster.provider.gcp && !gcpTypeShape.test(type))
      yield error('machine.type', path, `${pathText(path)} is ${type}, which is no machine type of Google Cloud`, {
        next: 'such as e2-standard-2 or n2-standard-4',
      });
  }
};

/** kubeadm's own requirement for control planes (2 CPUs, 2 GiB), and etcd's hardware guide. */
export const machineSizes: Rule = function* (cluster) {
  if (!cluster.provider.aws) return;
  const least = [
    { path: ['masters', 'machine', 'type'], type: cluster.masters.machine.type, memoryGi: 4, what: 'a master' },
    { path: ['etcd', 'machine', 'type'], type: cluster.etcd.machine.type, memoryGi: 2, what: 'etcd' },
  ];
  for (const { path, type, memoryGi, what } of least) {
    const size = awsSize(type);
    if (size && size.memoryGi < memoryGi)
      yield warning('machine.small', path, `${type} has ${size.memoryGi} GiB of memory, which is little for ${what}`, {
        next: `choose a type with ${memoryGi} GiB or more`,
      });
  }
};

/** Node Allocatable: what is reserved is not there for pods, so it must be less than the machine has. */
export const reserved: Rule = function* (cluster) {
  const { kubernetes } = cluster;
  const groups = [
    {
      type: cluster.masters.machine.type,
      what: 'masters',
      at: ['kubernetes'] as Path,
      kube: kubernetes.kubeReserved,
      system: kubernetes.systemReserved,
    },
    ...cluster.pools.map((pool, i) => ({
      type: pool.machine.type,
      what: `pool ${pool.name}`,
      at: (pool.kubelet.kubeReserved || pool.kubelet.systemReserved ? ['pools', i, 'kubelet'] : ['kubernetes']) as Path,
      kube: pool.kubelet.kubeReserved ?? kubernetes.kubeReserved,
      system: pool.kubelet.systemReserved ?? kubernetes.systemReserved,
    })),
  ];
  for (const { type, what, at, kube, system } of groups) {
    const size = cluster.provider.aws ? awsSize(type) : undefined;
    if (!size) continue;
    const has = { cpu: size.cpu, memory: size.memoryGi * 2 ** 30 };
    for (const resource of ['cpu', 'memory'] as const) {
      const total = quantityOf(kube[resource]) + quantityOf(system[resource]);
      if (total >= has[resource])
        yield error(
          'machine.reserved',
          [...at, 'kubeReserved', resource],
          `kubeReserved and systemReserved of ${what} come to ${kube[resource]} and ${system[resource]} of ${resource}; ${type} has ${resource === 'cpu' ? size.cpu : `${size.memoryGi}Gi`}`,
          {
            why: 'nothing would be left for pods',
            next: 'reserve less, or choose a larger machine',
          },
        );
    }
  }
};

/** CPU has no powers of two and memory no thousandths: "100m" of memory is a tenth of a byte. */
export const reservedUnits: Rule = function* (cluster) {
  const groups: {
    readonly path: Path;
    readonly value:
      | { readonly cpu: string; readonly memory: string; readonly 'ephemeral-storage'?: string | undefined }
      | undefined;
  }[] = [
    ...(['kubeReserved', 'systemReserved'] as const).map((key) => ({
      path: ['kubernetes', key],
      value: cluster.kubernetes[key],
    })),
    ...cluster.pools.flatMap((pool, i) =>
      (['kubeReserved', 'systemReserved'] as const).map((key) => ({
        path: ['pools', i, 'kubelet', key],
        value: pool.kubelet[key],
      })),
    ),
  ];
  for (const { path, value } of groups) {
    if (!value) continue;
    if (/[kKMGT]/.test(value.cpu))
      yield error(
        'machine.reserved',
        [...path, 'cpu'],
        `${pathText(path)}.cpu is ${value.cpu}; CPU is counted in cores or thousandths`,
        { next: 'write "200m" or "1"' },
      );
    for (const key of ['memory', 'ephemeral-storage'] as const) {
      const bytes = value[key];
      if (bytes !== undefined && (bytes.endsWith('m') || (quantityOf(bytes) > 0 && quantityOf(bytes) < 2 ** 20)))
        yield error('machine.reserved', [...path, key], `${pathText([...path, key])} is ${bytes}, less than 1Mi`, {
          next: 'write it with its unit: "128Mi"',
        });
    }
  }
};
