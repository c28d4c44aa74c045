import { z } from 'zod';
import { type Component, componentVersions, newestKubernetes } from './versions.ts';

/**
 * cluster.yaml. Descriptions become the reference and the JSON Schema that editors use. What a shape alone cannot say is in rules/;
 * positions in the file are in load.ts.
 */

/** What a value must be, in words, for error messages: kept outside of the JSON Schema. */
export const expectations = z.registry<{ readonly text: string }>();

const text = (pattern: RegExp, mustBe: string) => z.string().regex(pattern).register(expectations, { text: mustBe });
const any = (mustBe: string) => z.string().min(1).max(1000).register(expectations, { text: mustBe });

/** A DNS label, short enough that machine, balancer and bucket names made from it fit everywhere. */
const name = text(
  /^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/,
  'a DNS label: lower-case letters, digits and dashes, beginning with a letter, ending with a letter or digit, at most 40 characters',
);
const zone = text(
  /^[a-z]([-a-z0-9]{0,22}[a-z0-9])?$/,
  'the name of a zone: lower-case letters, digits and dashes, beginning with a letter, at most 24 characters',
);
const cidr = z.cidrv4().register(expectations, { text: 'an IPv4 range such as 10.0.0.0/16' });
const labels = z.record(z.string(), z.string()).default({}).describe('Node labels, in the syntax of Kubernetes');
const taint = z.strictObject({
  key: z.string().describe('As in Kubernetes: `dedicated`, `example.com/gpu`'),
  value: z.string().default(''),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
});
const extraArgs = z
  .record(z.string(), z.string())
  .default({})
  .describe('Flags passed on as they are: `{ v: "2" }` becomes --v=2. Flags that Slipway sets itself are refused');
const duration = text(/^(\d+(ms|s|m|h))+$/, 'a duration such as 90s, 5m or 1h30m');
const quantity = text(
  /^\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/,
  'a quantity of Kubernetes, as text: "100m" or "2" of CPU, "128Mi" or "2Gi" of memory',
);
const amount = z
  .union([z.int().min(0).max(5000), z.string().regex(/^(100|\d{1,2})%$/)])
  .register(expectations, { text: 'a whole number from 0 to 5000, or a percentage such as 25%' });
const resources = z.strictObject({
  cpu: quantity.default('100m'),
  memory: quantity.default('128Mi'),
  'ephemeral-storage': quantity.optional(),
});
const port = z.int().min(0).max(65535).default(0);

const localProvider = z
  .strictObject({
    apiPort: port.describe('Port on 127.0.0.1 where the API is published; 0 lets Docker choose'),
    sshPort: port.describe('Port on 127.0.0.1 where the bastion is published; 0 lets Docker choose'),
  })
  .describe('Containers on this Linux machine, by Docker');
const awsId = (kind: string) => text(new RegExp(`^${kind}-[0-9a-f]{8,17}$`), `an ID of AWS such as ${kind}-0123456789abcdef0`);
const awsProvider = z
  .strictObject({
    region: text(/^[a-z]{2}(-[a-z]+)+-\d$/, 'a region of AWS such as eu-central-1').describe('Region: eu-central-1'),
    accountIds: z
      .array(text(/^\d{12}$/, 'an account ID of AWS: 12 digits, in quotes'))
      .max(100)
      .default([])
      .describe('Accounts in which this cluster may be made; any, if empty'),
    vpc: z
      .strictObject({
        id: awsId('vpc').describe('A VPC that exists, whose range holds network.machines; it is never changed nor deleted'),
        publicSubnets: z
          .record(zone, awsId('subnet'))
          .default({})
          .describe('Public subnets that exist, by zone; made, if not named'),
        privateSubnets: z
          .record(zone, awsId('subnet'))
          .default({})
          .describe('Private subnets that exist, with a way out, by zone; made, if not named'),
      })
      .optional()
      .describe('Use a VPC that exists; default: one of its own'),
    nat: z
      .enum(['zone', 'single', 'none'])
      .default('zone')
      .describe('NAT gateways for the private subnets: one a zone, one in all, or none (no way to the Internet)'),
    image: z
      .strictObject({
        owner: text(/^(\d{12}|amazon|self)$/, 'an account ID of AWS, amazon or self').default('136693071363'),
        name: any('the name of an image, in which * stands for anything').default('debian-12-amd64-*'),
      })
      .prefault({})
      .describe(
        'Machine image: the newest of this owner whose name fits, found once and kept until this changes. It needs systemd, cloud-init, curl 7.87, nftables and iproute2; default: Debian 12',
      ),
    kmsKey: any('an ARN, ID or alias of a KMS key')
      .optional()
      .describe("KMS key for volumes and the store: ARN, ID or alias; default: AWS's own key of the account"),
    tags: z
      .record(
        text(/^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+@-]{1,128}$/u, 'a tag key of AWS: up to 128 characters, not beginning with aws:'),
        z.string().max(256),
      )
      .default({})
      .describe('Further tags on everything that is made'),
    addons: z
      .strictObject({
        ebsCsi: z
          .boolean()
          .default(true)
          .describe('EBS CSI driver with a default StorageClass (gp3, encrypted), for volumes of pods'),
        clusterAutoscaler: z
          .boolean()
          .default(true)
          .describe('cluster-autoscaler, where a pool has min and max: grows and shrinks its groups as pods need'),
      })
      .prefault({})
      .describe('What runs in clusters on AWS, beside the cloud controller; nodes pull it from registry.k8s.io'),
  })
  .describe('Amazon Web Services');
const gcpProvider = z
  .strictObject({
    project: text(
      /^[a-z][-a-z0-9]{4,28}[a-z0-9]$/,
      'a project ID of Google Cloud: 6 to 30 lower-case letters, digits and dashes',
    ).describe('Project ID'),
    region: text(/^[a-z]+-[a-z]+\d+$/, 'a region of Google Cloud such as europe-west3').describe('Region: europe-west3'),
  })
  .describe('Google Cloud');
const machine = z.strictObject({
  type: any('a machine type of the provider')
    .default('local')
    .describe(
      "The provider's machine type. Default: `local` on the local provider; on AWS t3.micro (bastion), t3.medium (etcd) or t3.large; on Google Cloud e2-micro, e2-medium or e2-standard-2",
    ),
});

const componentVersion = (component: Component, what: string) =>
  text(/^\d+\.\d+\.\d+$/, `a full version such as ${componentVersions[component][0]}`)
    .optional()
    .describe(`${what}, one of ${componentVersions[component].join(', ')}`);
const components = z.strictObject({
  etcd: componentVersion('etcd', 'etcd, which never goes back by a minor version'),
  containerd: componentVersion('containerd', 'containerd'),
  runc: componentVersion('runc', 'runc'),
  cni: componentVersion('cni', 'CNI plugins'),
  flannel: componentVersion('flannel', 'flannel'),
  coredns: componentVersion('coredns', 'CoreDNS'),
  metricsServer: componentVersion('metricsServer', 'metrics-server'),
});

const kubernetes = z
  .strictObject({
    version: text(/^\d+\.\d+\.\d+$/, `a full version such as ${newestKubernetes}`)
      .default(newestKubernetes)
      .describe('Version of Kubernetes; etcd, containerd and the rest follow from it'),
    components: components
      .prefault({})
      .describe(
        'Versions of what goes with Kubernetes, where they are not to follow from kubernetes.version. `cluster upgrade` moves them',
      ),
    api: z
      .strictObject({
        allowedCidrs: z
          .array(cidr)
          .max(100)
          .default([])
          .describe('From where the API may be reached beside the machines; empty: by the bastion only'),
        extraSans: z
          .array(z.string())
          .max(100)
          .default([])
          .describe("Further names and addresses in the API servers' certificates"),
      })
      .prefault({})
      .describe('Access to the API'),
    admission: z
      .strictObject({
        enable: z.array(z.string()).max(100).default([]).describe('Admission plugins beside the default ones'),
        disable: z.array(z.string()).max(100).default([]).describe('Default admission plugins to leave out'),
      })
      .prefault({})
      .describe('Admission plugins of the API server'),
    audit: z
      .strictObject({
        enabled: z.boolean().default(true).describe('Write an audit log on the masters'),
        level: z
          .enum(['Metadata', 'Request', 'RequestResponse'])
          .default('Metadata')
          .describe('How much of each request; Secrets and tokens are never logged beyond Metadata'),
        maxSizeMb: z.int().min(1).max(10_000).default(100).describe('Size at which the log is rotated'),
        maxBackups: z.int().min(1).max(1000).default(5).describe('Rotated logs that are kept'),
      })
      .prefault({})
      .describe('Audit log'),
    oidc: z
      .strictObject({
        issuerUrl: any('an https URL').describe('https URL of the issuer'),
        clientId: any('a client ID'),
        usernameClaim: any('the name of a claim').default('sub'),
        groupsClaim: any('the name of a claim').optional(),
      })
      .optional()
      .describe('Log in with tokens of an OpenID Connect issuer'),
    featureGates: z.record(z.string(), z.boolean()).default({}).describe('Feature gates of all components: `{ SomeGate: true }`'),
    extraArgs: z
      .strictObject({
        apiserver: extraArgs,
        controllerManager: extraArgs,
        scheduler: extraArgs,
        kubelet: extraArgs,
        kubeProxy: extraArgs,
      })
      .prefault({})
      .describe('Further flags, a component'),
    kubeReserved: resources.prefault({}).describe('Kept on each node for kubelet and containerd (Node Allocatable)'),
    systemReserved: resources.prefault({}).describe('Kept on each node for the system (Node Allocatable)'),
    encryptionAtRest: z
      .strictObject({ provider: z.enum(['secretbox', 'aescbc']).default('secretbox') })
      .prefault({})
      .describe('How Secrets are encrypted in etcd'),
    podSecurity: z
      .strictObject({
        enforce: z
          .enum(['privileged', 'baseline', 'restricted'])
          .default('privileged')
          .describe('Pods beyond this level are refused'),
        warn: z
          .enum(['privileged', 'baseline', 'restricted'])
          .default('restricted')
          .describe('Pods beyond this level are warned about'),
      })
      .prefault({})
      .describe('Pod Security defaults, for namespaces without labels of their own'),
    maxPods: z.int().min(10).max(250).default(110).describe('Pods a node; each node has a /24 of the pod range'),
  })
  .describe('Kubernetes and its components');

const strategy = z
  .enum(['in-place', 'replace'])
  .default('in-place')
  .describe('Change machines as they stand, or make new ones; a change that the strategy cannot do is refused');
const drain = z
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
const upgrade = z.strictObject({
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

const pool = z.strictObject({
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
