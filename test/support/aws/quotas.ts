import { refuse } from './answers.ts';
import type { Behaviour, Exchange } from './exchange.ts';
import { textsOf } from './xml.ts';

/** How much an account may have in a region. Undefined: as much as it likes. */
export interface Quotas {
  readonly vpcs?: number;
  readonly addresses?: number;
  /** Of running on-demand instances. */
  readonly vcpus?: number;
  readonly natGatewaysPerZone?: number;
}

export function quotas(limits: () => Quotas): Behaviour {
  return {
    async before(exchange) {
      const { vpcs, addresses, vcpus } = limits();
      const { call, ask } = exchange;
      if (call.service !== 'ec2') return undefined;
      if (call.action === 'CreateVpc' && vpcs !== undefined) {
        const there = textsOf(await ask('ec2', 'DescribeVpcs'), 'ownerId').length;
        if (there >= vpcs) return refuse('VpcLimitExceeded', 'The maximum number of VPCs has been reached.');
      }
      if (call.action === 'AllocateAddress' && addresses !== undefined) {
        const there = textsOf(await ask('ec2', 'DescribeAddresses'), 'allocationId').length;
        if (there >= addresses) return refuse('AddressLimitExceeded', 'The maximum number of addresses has been reached.');
      }
      if (call.action === 'RunInstances' && vcpus !== undefined) {
        const wanted = cpusOf(String(call.params.InstanceType)) * Number(call.params.MaxCount);
        if ((await cpusInUse(exchange)) + wanted > vcpus)
          return refuse(
            'VcpuLimitExceeded',
            `You have requested more vCPU capacity than your current vCPU limit of ${vcpus} allows for the instance bucket that the specified instance type belongs to.`,
          );
      }
      return undefined;
    },
  };
}

async function cpusInUse({ ask }: Exchange): Promise<number> {
  const found = await ask('ec2', 'DescribeInstances', {
    'Filter.1.Name': 'instance-state-name',
    'Filter.1.Value.1': 'running',
    'Filter.1.Value.2': 'pending',
    MaxResults: '1000000',
  });
  return textsOf(found, 'instanceType').reduce((sum, type) => sum + cpusOf(type), 0);
}
/** By the size alone: `m6i.2xlarge` has 8. */
function cpusOf(type: string): number {
  const size = type.split('.')[1] ?? '';
  const many = /^(\d+)xlarge$/.exec(size)?.[1];
  return many === undefined ? (size === 'xlarge' ? 4 : 2) : Number(many) * 4;
}
