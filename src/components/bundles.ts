import type { Topology } from '../cluster/topology.ts';
import { agent, notices, renewal } from './agent.ts';
import { apiWait } from './api-wait.ts';
import { apiserver } from './apiserver.ts';
import { base } from './base.ts';
import type { Bundle } from './bundle.ts';
import { containerd } from './containerd.ts';
import { controllerManager } from './controller-manager.ts';
import { etcd } from './etcd.ts';
import { flannel } from './flannel.ts';
import { kubeProxy } from './kube-proxy.ts';
import { kubelet } from './kubelet.ts';
import { combine } from './part.ts';
import { nodeImages } from './placement.ts';
import { scheduler } from './scheduler.ts';
import { volumes } from './volumes.ts';

export { identityOf } from './host-env.ts';

/** Every bundle of the cluster by name (`MachineSpec.bundle`): one a role, one a pool. Pure; the order of units is the order to start them in. */
export function designBundles(topology: Topology): ReadonlyMap<string, Bundle> {
  const host = base(topology, { node: false });
  const node = base(topology, { node: true });
  const pools = topology.cluster.pools.map((pool): readonly [string, Bundle] => {
    const name = `pool-${pool.name}`;
    const bundle = combine(name, [
      node,
      containerd(topology, nodeImages(topology, false)),
      apiWait,
      kubelet(topology, pool),
      kubeProxy(topology, false),
      flannel(topology, false),
      notices(topology, pool),
    ]);
    return [pool.name, combine(name, [bundle, renewal(topology, bundle.certificates)])];
  });
  const bundles = [
    combine('bastion', [host]),
    combine('etcd', [host, volumes(topology), etcd(topology)]),
    combine('master', [
      node,
      containerd(topology, nodeImages(topology, true)),
      apiserver(topology),
      apiWait,
      controllerManager(topology),
      scheduler(topology),
      kubelet(topology),
      kubeProxy(topology, true),
      flannel(topology, true),
      agent(topology, new Map(pools)),
    ]),
    ...pools.map(([, bundle]) => bundle),
  ];
  return new Map(bundles.map((bundle) => [bundle.name, bundle]));
}
