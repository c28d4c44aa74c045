import { z } from 'zod';
import { kubernetes } from './schema/kubernetes.ts';
import { pool } from './schema/pools.ts';
import { awsProvider, gcpProvider, localProvider } from './schema/providers.ts';
import { drain, strategy, upgrade } from './schema/upgrade.ts';
import { any, cidr, duration, machine, name, text, zone } from './schema/words.ts';

/**
 * cluster.yaml. Its parts are in schema/. Descriptions become the reference and the JSON Schema that editors use. What a shape alone cannot say is in rules/;
 * positions in the file are in load.ts.
 */

export const clusterSchema = z.strictObject({
  apiVersion: z.literal('slipway/v1').describe('Version of this format'),
  kind: z.literal('Cluster'),
  name: name.describe('Name of the cluster; part of the names of all that is made for it'),
  provider: z
    .strictObject({ local: localProvider.optional(), aws: awsProvider.optional(), gcp: gcpProvider.optional() })
    .describe('Where the machines run: exactly one of local, aws, gcp'),
  zones: z
    .array(zone)
    .min(1)
    .max(16)
    .describe('Zones that fail apart. Order does not matter once a cluster exists: a zone keeps its slot'),
  network: z
    .strictObject({
      machines: cidr.default('172.30.0.0/16').describe('Machines; split into 16 fixed slots, one a zone'),
      pods: cidr.default('10.244.0.0/16').describe('Pods; each node takes a /24 of it'),
      services: cidr.default('10.96.0.0/16').describe('Services'),
      plugin: z
        .enum(['flannel', 'none'])
        .default('flannel')
        .describe('Pod network; none leaves it to you: by addons.manifests, or by hand'),
      zoneSlots: z
        .record(z.string(), z.int().min(0).max(15))
        .default({})
        .describe('Slot of each zone in the machine range; written by init, default: by the order of zones'),
    })
    .prefault({})
    .describe('Address ranges and the pod network'),
  kubernetes: kubernetes.prefault({}),
  etcd: z
    .strictObject({
      count: z.int().min(1).max(9).default(3).describe('Members, each on a machine of its own: 1, 3 or 5'),
      zones: z.array(zone).min(1).max(16).optional().describe('Default: all zones'),
      machine: machine.prefault({}),
      volumeGb: z.int().min(1).max(16_384).default(20).describe('Size of the volume of each member, in GiB'),
      events: z.boolean().default(true).describe('A second etcd cluster for Event objects'),
      quotaMb: z.int().min(64).max(16_384).default(8192).describe('Size at which etcd stops accepting writes, in MiB'),
      upgrade: z.strictObject({ strategy }).prefault({}).describe('How members are upgraded: always one at a time'),
    })
    .prefault({})
    .describe('etcd'),
  bastion: z
    .strictObject({
      machine: machine.prefault({}),
      allowedCidrs: z.array(cidr).max(100).default([]).describe('From where SSH may reach the bastion (clouds)'),
    })
    .prefault({})
    .describe('The one machine that is reached from outside'),
  masters: z
    .strictObject({
      count: z.int().min(1).max(16).default(3).describe('Machines with the control plane'),
      zones: z.array(zone).min(1).max(16).optional().describe('Default: all zones'),
      machine: machine.prefault({}),
      upgrade: z.strictObject({ strategy, drain }).prefault({}).describe('How masters are upgraded: always one at a time'),
    })
    .prefault({})
    .describe('The control plane'),
  pools: z.array(pool).max(100).default([]).describe('Groups of workers; 15 at most on the local provider'),
  os: z
    .strictObject({
      packages: text(
        /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z)?$/,
        'a date such as 2026-11-21, or a time in UTC such as 2026-11-21T14:30Z',
      )
        .optional()
        .describe(
          'The packages and the kernel of every machine are to be upgraded on or after this date, by `upgrade` (a new machine before it joins): to what its own mirrors have by then, with a reboot where needed. `2026-11-21`, or a time in UTC: `2026-11-21T14:30Z`. Default: Slipway leaves them alone',
        ),
    })
    .prefault({})
    .describe('The operating system of the machines'),
  upgrade: upgrade.prefault({}).describe('How upgrades go about'),
  backup: z
    .strictObject({
      schedule: any('a cron schedule such as "0 3 * * *"')
        .optional()
        .describe('Cron schedule in UTC: "0 3 * * *"; default: by hand, and before upgrades'),
      keep: z.int().min(1).max(10_000).default(14).describe('Recovery points that are kept; each new one removes what is beyond'),
      maxAge: duration
        .default('10m')
        .describe(
          'An upgrade takes a recovery point before it touches etcd or a master, unless there is one younger than this; 0s: always',
        ),
    })
    .prefault({})
    .describe('Recovery points'),
  secrets: z
    .strictObject({
      recipients: z
        .array(any('an age recipient (age1...)'))
        .max(100)
        .default([])
        .describe('age recipients (age1...) that can open the secrets; default: an identity made on this machine'),
      observers: z
        .array(any('an age recipient (age1...)'))
        .max(100)
        .default([])
        .describe('age recipients that can look and plan, but not change: for pipelines of pull requests'),
    })
    .prefault({})
    .describe('Who can open the secrets of the cluster'),
  addons: z
    .strictObject({
      coredns: z
        .strictObject({ replicas: z.int().min(1).max(100).default(2) })
        .prefault({})
        .describe('Cluster DNS'),
      metricsServer: z.boolean().default(true).describe('metrics-server, for `kubectl top` and autoscaling of pods'),
      manifests: z
        .array(any('the path of a manifest'))
        .max(1000)
        .default([])
        .describe(
          'Files and directories of manifests of your own, applied with the addons and pruned: paths relative to cluster.yaml',
        ),
    })
    .prefault({})
    .describe('What runs in every cluster'),
  assets: z
    .strictObject({
      mirror: any('a directory or URL').optional().describe('Directory or URL of an asset mirror, for air-gapped sites'),
    })
    .prefault({})
    .describe('Where programs and images come from'),
});
export type Cluster = z.output<typeof clusterSchema>;
export type ClusterInput = z.input<typeof clusterSchema>;
export type Pool = Cluster['pools'][number];
export type Drain = Pool['upgrade']['drain'];
export type UpgradePolicy = Cluster['upgrade'];
export type Gate = UpgradePolicy['gates'][number];
export type MaintenanceWindow = UpgradePolicy['windows'][number];
export type ProviderName = 'local' | 'aws' | 'gcp';
