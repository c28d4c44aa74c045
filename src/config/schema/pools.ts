import { z } from 'zod';
import { drain, strategy } from './upgrade.ts';
import { amount, any, extraArgs, machine, name, resources, zone } from './words.ts';

const labels = z.record(z.string(), z.string()).default({}).describe('Node labels, in the syntax of Kubernetes');
const taint = z.strictObject({
  key: z.string().describe('As in Kubernetes: `dedicated`, `example.com/gpu`'),
  value: z.string().default(''),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
});
export const pool = z.strictObject({
  name: name.describe('Part of the names of its machines: `workers` in zone a has `workers-a-1`'),
  count: z.int().min(0).max(5000).optional().describe('Fixed size; or min and max for an autoscaled pool'),
  min: z.int().min(0).max(5000).optional().describe('Least size of an autoscaled pool'),
  max: z.int().min(1).max(5000).optional().describe('Greatest size of an autoscaled pool'),
  zones: z.array(zone).min(1).max(16).optional().describe('Default: all zones'),
  machine: machine.prefault({}),
  alternatives: z
    .array(any('a machine type of the provider'))
    .max(20)
    .default([])
    .describe('Further machine types of like size that an autoscaled group may take (AWS: mixed instances)'),
  labels,
  taints: z.array(taint).max(50).default([]).describe('Node taints'),
  spot: z.boolean().default(false).describe('Interruptible machines, at a lower price'),
  upgrade: z
    .strictObject({
      strategy: strategy.describe(
        'Change machines as they stand, or make new ones; a change that the strategy cannot do is refused. On AWS, where groups make the machines, only replace can do anything, and is the default there',
      ),
      maxUnavailable: amount
        .default(1)
        .describe(
          'How many may be away at once: a number, or a share such as 25%, rounded down but at least 1. On AWS 0 where there is a surge',
        ),
      maxSurge: amount
        .default(0)
        .describe('How many more may exist at once (replace only): a number, or a share such as 25%, rounded up. On AWS 1'),
      drain,
    })
    .prefault({})
    .describe('How this pool is upgraded'),
  kubelet: z
    .strictObject({
      extraArgs,
      kubeReserved: resources.optional().describe('Instead of kubernetes.kubeReserved, in this pool'),
      systemReserved: resources.optional().describe('Instead of kubernetes.systemReserved, in this pool'),
    })
    .prefault({})
    .describe("This pool's kubelets"),
});
