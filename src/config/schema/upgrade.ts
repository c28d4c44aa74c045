import { z } from 'zod';
import { amount, any, duration, expectations, name } from './words.ts';

export const strategy = z
  .enum(['in-place', 'replace'])
  .default('in-place')
  .describe('Change machines as they stand, or make new ones; a change that the strategy cannot do is refused');
export const drain = z
  .strictObject({
    timeout: duration.default('5m').describe('How long to wait for pods to leave a node; then the upgrade stops'),
    forceAfter: duration
      .optional()
      .describe('After this time delete pods that would not leave, whatever their PodDisruptionBudget says; default: never'),
    unmanagedPods: z
      .enum(['refuse', 'evict'])
      .default('refuse')
      .describe(
        'Pods that nothing makes anew once they are gone: refuse to drain their node (named before anything starts), or evict them for good',
      ),
  })
  .prefault({})
  .describe('Draining of nodes');

/** Something of the user's own that must be well before the rollout goes on. */
const gate = z.strictObject({
  name: name.describe('For messages, and part of the name of its Job'),
  command: z
    .union([z.string().min(1).max(10_000), z.array(z.string().max(10_000)).min(1).max(100)])
    .register(expectations, { text: 'a line for the shell, or a list of a program and its arguments' })
    .optional()
    .describe(
      'Run where the CLI runs: a line for `sh -c`, or a program and its arguments; it must exit with 0. It gets SLIPWAY_CLUSTER, SLIPWAY_MACHINE, SLIPWAY_WAVE and KUBECONFIG',
    ),
  job: any('the path of a manifest')
    .optional()
    .describe('Manifest of a Job that is run in the cluster and must complete: a path relative to cluster.yaml'),
  timeout: duration.default('5m').describe('After this time the gate has failed'),
  after: z.enum(['machine', 'wave']).default('machine').describe('Asked after each machine, or after each wave'),
});
const window = z.strictObject({
  cron: any('a cron schedule such as "0 2 * * 6"').describe('When it begins: minute, hour, day of month, month, day of week'),
  duration: duration.describe('How long it lasts: 4h'),
  timezone: any('a time zone such as Europe/Berlin').default('UTC').describe('Time zone of cron: Europe/Berlin'),
});
export const upgrade = z.strictObject({
  maxDrains: amount
    .default('20%')
    .describe(
      'How many nodes may drain at once in all, whatever the pools allow: a number, or a share of all workers, rounded up',
    ),
  canary: z.boolean().default(true).describe('The first machine of each pool goes alone; the others follow once it is well'),
  gates: z
    .array(gate)
    .max(50)
    .default([])
    .describe('What must be well before the upgrade goes on, besides what Slipway looks at itself'),
  readyWithin: duration
    .default('2m')
    .describe(
      'How long a node may take to be Ready, when its machine is made or has had its turn; then the command stops, with the last lines of its kubelet',
    ),
  stableFor: duration.default('2s').describe('How long a node must be Ready without a break before its turn is over'),
  apiP99: duration
    .default('1s')
    .describe('The upgrade stops while 1 of 100 requests to the API takes longer than this; long-running ones do not count'),
  windows: z.array(window).max(50).default([]).describe('When upgrades may go on; empty: at any time'),
  outside: z
    .enum(['refuse', 'wait'])
    .default('refuse')
    .describe(
      'Outside of the windows: refuse to begin, or wait. What has begun finishes the machine at hand, and stops or waits',
    ),
});
