import { z } from 'zod';

/** cluster.yaml. Descriptions become the reference and the JSON Schema that editors use. Positions and cross-field rules: load.ts, rules.ts. */

const name = z
  .string()
  .regex(
    /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/,
    'must be a DNS label: lower-case letters, digits and dashes, at most 40 characters',
  );
const cidr = z.cidrv4();
const labels = z.record(z.string(), z.string()).default({});
const taint = z.strictObject({
  key: z.string(),
  value: z.string().default(''),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
});
const extraArgs = z
  .record(z.string(), z.string())
  .default({})
  .describe('Flags passed on as they are: `{ v: "2" }` becomes --v=2');
const duration = z.string().regex(/^(\d+(ms|s|m|h))+$/, 'must be a duration such as 90s or 5m');
const resources = z.strictObject({
  cpu: z.string().default('100m'),
  memory: z.string().default('128Mi'),
  'ephemeral-storage': z.string().optional(),
});

const localProvider = z.strictObject({
  apiPort: z.int().min(0).max(65535).default(0).describe('Port on 127.0.0.1 where the API is published; 0 lets Docker choose'),
  sshPort: z
    .int()
    .min(0)
    .max(65535)
    .default(0)
    .describe('Port on 127.0.0.1 where the bastion is published; 0 lets Docker choose'),
});
const awsProvider = z.strictObject({ region: z.string(), accountIds: z.array(z.string()).default([]) });
const gcpProvider = z.strictObject({ project: z.string(), region: z.string() });
const machine = z.strictObject({ type: z.string().default('local').describe("The provider's machine type: t3.large") });

const kubernetes = z.strictObject({
  version: z
    .string()
    .regex(/^\d+\.\d+\.\d+$/, 'must be a full version such as 1.36.3')
    .default('1.36.3'),
  api: z.strictObject({ allowedCidrs: z.array(cidr).default([]), extraSans: z.array(z.string()).default([]) }).prefault({}),
  admission: z.strictObject({ enable: z.array(z.string()).default([]), disable: z.array(z.string()).default([]) }).prefault({}),
  audit: z
    .strictObject({
      enabled: z.boolean().default(true),
      level: z.enum(['Metadata', 'Request', 'RequestResponse']).default('Metadata'),
      maxSizeMb: z.int().positive().default(100),
      maxBackups: z.int().positive().default(5),
    })
    .prefault({}),
  oidc: z
    .strictObject({
      issuerUrl: z.url(),
      clientId: z.string(),
      usernameClaim: z.string().default('sub'),
      groupsClaim: z.string().optional(),
    })
    .optional(),
  featureGates: z.record(z.string(), z.boolean()).default({}),
  extraArgs: z
    .strictObject({
      apiserver: extraArgs,
      controllerManager: extraArgs,
      scheduler: extraArgs,
      kubelet: extraArgs,
      kubeProxy: extraArgs,
    })
    .prefault({}),
  kubeReserved: resources.prefault({}),
  systemReserved: resources.prefault({}),
  encryptionAtRest: z.strictObject({ provider: z.enum(['secretbox', 'aescbc']).default('secretbox') }).prefault({}),
  podSecurity: z
    .strictObject({
      enforce: z.enum(['privileged', 'baseline', 'restricted']).default('privileged'),
      warn: z.enum(['privileged', 'baseline', 'restricted']).default('restricted'),
    })
    .prefault({}),
  maxPods: z.int().min(10).max(250).default(110),
});

const pool = z.strictObject({
  name,
  count: z.int().min(0).max(5000).optional().describe('Fixed size; or min and max for an autoscaled pool'),
  min: z.int().min(0).optional(),
  max: z.int().min(1).optional(),
  zones: z.array(z.string()).min(1).optional().describe('Default: all zones'),
  machine: machine.prefault({}),
  labels,
  taints: z.array(taint).default([]),
  spot: z.boolean().default(false),
  upgrade: z
    .strictObject({
      strategy: z.enum(['in-place', 'replace']).default('in-place'),
      maxUnavailable: z.union([z.int().min(0), z.string().regex(/^\d{1,3}%$/)]).default(1),
      maxSurge: z.union([z.int().min(0), z.string().regex(/^\d{1,3}%$/)]).default(0),
      drain: z.strictObject({ timeout: duration.default('5m'), forceAfter: duration.optional() }).prefault({}),
    })
    .prefault({}),
  kubelet: z.strictObject({ extraArgs, kubeReserved: resources.optional(), systemReserved: resources.optional() }).prefault({}),
});

export const clusterSchema = z.strictObject({
  apiVersion: z.literal('slipway/v1'),
  kind: z.literal('Cluster'),
  name,
  provider: z
    .strictObject({ local: localProvider.optional(), aws: awsProvider.optional(), gcp: gcpProvider.optional() })
    .describe('Exactly one of local, aws, gcp'),
  zones: z.array(z.string()).min(1).max(16).describe('Order does not matter once a cluster exists: a zone keeps its slot'),
  network: z
    .strictObject({
      machines: cidr.default('172.30.0.0/16').describe('Machines; split into 16 fixed slots, one a zone'),
      pods: cidr.default('10.244.0.0/16'),
      services: cidr.default('10.96.0.0/16'),
      plugin: z.enum(['flannel', 'none']).default('flannel'),
      zoneSlots: z
        .record(z.string(), z.int().min(0).max(15))
        .default({})
        .describe('Slot of each zone in the machine range; written by init, default: by the order of zones'),
    })
    .prefault({}),
  kubernetes: kubernetes.prefault({}),
  etcd: z
    .strictObject({
      count: z.int().min(1).max(9).default(3),
      zones: z.array(z.string()).min(1).optional(),
      machine: machine.prefault({}),
      volumeGb: z.int().min(1).default(20),
      events: z.boolean().default(true).describe('A second etcd cluster for Event objects'),
      quotaMb: z.int().min(64).max(16384).default(8192),
    })
    .prefault({}),
  bastion: z.strictObject({ machine: machine.prefault({}), allowedCidrs: z.array(cidr).default([]) }).prefault({}),
  masters: z
    .strictObject({
      count: z.int().min(1).max(16).default(3),
      zones: z.array(z.string()).min(1).optional(),
      machine: machine.prefault({}),
    })
    .prefault({}),
  pools: z.array(pool).min(0).default([]),
  backup: z.strictObject({ schedule: z.string().optional(), keep: z.int().min(1).default(14) }).prefault({}),
  secrets: z
    .strictObject({
      recipients: z.array(z.string()).default([]).describe('age recipients (age1...) that can open the secrets'),
      observers: z.array(z.string()).default([]),
    })
    .prefault({}),
  addons: z
    .strictObject({
      coredns: z.strictObject({ replicas: z.int().min(1).default(2) }).prefault({}),
      metricsServer: z.boolean().default(true),
      manifests: z.array(z.string()).default([]),
    })
    .prefault({}),
  assets: z
    .strictObject({ mirror: z.string().optional().describe('Directory or URL of an asset mirror, for air-gapped sites') })
    .prefault({}),
});
export type Cluster = z.output<typeof clusterSchema>;
export type ClusterInput = z.input<typeof clusterSchema>;
export type Pool = Cluster['pools'][number];
export type ProviderName = 'local' | 'aws' | 'gcp';
