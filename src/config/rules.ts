import * as components from './rules/components.ts';
import * as etcd from './rules/etcd.ts';
import * as kubernetes from './rules/kubernetes.ts';
import * as machines from './rules/machines.ts';
import * as names from './rules/names.ts';
import * as network from './rules/network.ts';
import * as operations from './rules/operations.ts';
import * as pools from './rules/pools.ts';
import * as provider from './rules/provider.ts';
import type { Rule, RuleFinding } from './rules/rule.ts';
import * as upgrades from './rules/upgrades.ts';
import * as zones from './rules/zones.ts';
import type { Cluster } from './schema.ts';

/** All that is checked beyond the shape. A new rule is one function in rules/, and its name here. */
export const rules: readonly Rule[] = [
  provider.oneProvider,
  provider.localPorts,
  names.clusterName,
  names.poolNames,
  names.machineNames,
  zones.unknownZones,
  zones.duplicateZones,
  zones.zoneSlots,
  zones.cloudZones,
  zones.keyRegion,
  network.hostBits,
  network.overlaps,
  network.sizes,
  network.addressSpace,
  network.podCapacity,
  network.machineCapacity,
  network.allowedCidrs,
  network.bastionReachable,
  kubernetes.version,
  components.versions,
  kubernetes.extraArgs,
  kubernetes.featureGates,
  kubernetes.optionsOfVersion,
  kubernetes.admission,
  kubernetes.oidc,
  kubernetes.extraSans,
  kubernetes.podSecurity,
  etcd.memberCount,
  etcd.zoneLoss,
  etcd.quota,
  machines.machineTypes,
  machines.machineSizes,
  machines.reserved,
  machines.reservedUnits,
  pools.poolSize,
  pools.poolCount,
  pools.spot,
  pools.labels,
  pools.taints,
  upgrades.amounts,
  upgrades.drains,
  upgrades.gates,
  upgrades.waits,
  upgrades.windows,
  operations.recipients,
  operations.schedule,
  operations.manifests,
  operations.mirror,
  operations.osPackages,
];

export const applyRules = (cluster: Cluster): readonly RuleFinding[] => rules.flatMap((rule) => [...rule(cluster)]);
