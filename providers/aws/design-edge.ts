import { machinesOf, type Topology } from '../../src/cluster/topology.ts';
import { addressOf, type Resource, ref } from '../../src/plan/resource.ts';
import type { BalancerProps } from './balancer.ts';
import { makesGateway } from './design-network.ts';
import type { ListenerProps } from './listener.ts';
import { type Owner, tagsOf } from './tags.ts';
import type { TargetGroupProps } from './target-group.ts';
import type { ZoneProps, ZoneRecord } from './zone.ts';

/** How clients find the API: a network load balancer within the VPC, its name in the private zone, and a public one where cluster.yaml opens the API. */
export function designEdge(topology: Topology, owner: Owner): readonly Resource[] {
  const { cluster, api, zones } = topology;
  const isPublic = cluster.kubernetes.api.allowedCidrs.length > 0;
  const group: Resource<TargetGroupProps> = {
    address: 'aws.target-group/api',
    type: 'aws.target-group',
    props: {
      vpc: ref('aws.vpc/main', 'id'),
      port: api.port,
      healthPath: '/readyz',
      targets: machinesOf(topology, 'master')
        .map(({ address }) => address)
        .sort(),
      tags: tagsOf(owner, 'aws.target-group/api'),
    },
    after: [],
  };
  const balancer = (name: 'api' | 'public'): Resource<BalancerProps> => {
    const address = addressOf('aws.balancer', name);
    return {
      address,
      type: 'aws.balancer',
      props: {
        scheme: name === 'public' ? 'internet-facing' : 'internal',
        subnets: zones.map((zone) => ref(addressOf('aws.subnet', `${name === 'public' ? 'public' : 'private'}-${zone}`), 'id')),
        securityGroups: [ref('aws.security-group/balancer', 'id')],
        tags: tagsOf(owner, address),
      },
      // AWS makes none that faces the Internet in a VPC without an internet gateway.
      after: name === 'public' && makesGateway(topology) ? ['aws.internet-gateway/main'] : [],
    };
  };
  const listener = (name: 'api' | 'public'): Resource<ListenerProps> => {
    const address = addressOf('aws.listener', name);
    return {
      address,
      type: 'aws.listener',
      props: {
        balancer: ref(addressOf('aws.balancer', name), 'arn'),
        port: api.port,
        targetGroup: ref('aws.target-group/api', 'arn'),
        tags: tagsOf(owner, address),
      },
      after: [],
    };
  };
  const names = isPublic ? (['api', 'public'] as const) : (['api'] as const);
  return [group, ...names.flatMap((name) => [balancer(name), listener(name)]), zone(topology)];
}

function zone(topology: Topology): Resource<ZoneProps> {
  const { cluster, machines, api } = topology;
  const domain = `${cluster.name}.internal`;
  const own = machines.map(({ name, address }): [string, ZoneRecord] => [name, { address }]);
  return {
    address: 'aws.zone/internal',
    type: 'aws.zone',
    props: {
      domain,
      vpc: ref('aws.vpc/main', 'id'),
      records: {
        [api.name.slice(0, -domain.length - 1)]: {
          alias: ref('aws.balancer/api', 'dnsName'),
          aliasZone: ref('aws.balancer/api', 'zoneId'),
        },
        ...Object.fromEntries(own),
      },
    },
    after: [],
  };
}
