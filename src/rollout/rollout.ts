import { z } from 'zod';

/** The published shape of an upgrade: what a dry run shows, and what is carried out. */

const versionChange = z.strictObject({ what: z.string(), before: z.string(), after: z.string() });
export type VersionChange = z.infer<typeof versionChange>;

/** One file or unit of a host, as a unified diff; secrets show as digests. */
const fileDiff = z.strictObject({ path: z.string(), diff: z.string() });
export type FileDiff = z.infer<typeof fileDiff>;

/** What an upgrade of the operating system's packages would do, by what the machine's mirrors have now; `none`: it comes new, or goes. */
const packagesLook = z.strictObject({
  moves: z.array(versionChange),
  /** Packages that somebody holds: they stay. */
  held: z.array(z.string()),
  /** Why the machine would restart, as far as that is known before; a package may ask for it when it is there. */
  reboot: z.array(z.string()),
});

/**
 * One machine's turn. `in-place`: cordon and drain (if `drain`), converge, health, uncordon. `replace`: drain, delete the machine, make it anew. `add`: a surge machine
 * is made. `remove`: drained, taken out of etcd and the balancer, deleted.
 */
export const turnSchema = z.strictObject({
  machine: z.string(),
  role: z.enum(['bastion', 'etcd', 'master', 'worker']),
  zone: z.string(),
  pool: z.string().optional(),
  how: z.enum(['in-place', 'replace', 'add', 'remove']),
  drain: z.boolean(),
  /** Why it drains, is replaced or goes. */
  because: z.array(z.string()),
  versions: z.array(versionChange),
  /** Units that restart: `kubelet`, `kube-apiserver`. */
  restarts: z.array(z.string()),
  files: z.array(fileDiff),
  /** Of a machine whose packages are upgraded as it stands. A new machine gets the newest. */
  packages: packagesLook.optional(),
});
export type Turn = z.infer<typeof turnSchema>;

/** Machines that take turns under one cap: etcd's, the masters, or one pool's. */
export const laneSchema = z.strictObject({
  /** `etcd`, `masters`, `pool workers` */
  name: z.string(),
  strategy: z.enum(['in-place', 'replace']),
  /** How many may be away at once, resolved to a number: at least 1 unless there is a surge. */
  maxUnavailable: z.int().min(0),
  maxSurge: z.int().min(0),
  /** Where machines have no names before they are made (groups of a cloud): as many turns as `maxSurge` make one of their own before theirs goes. */
  surge: z.literal('each turn').optional(),
  /** Surge machines, made before the turns. */
  first: z.array(turnSchema),
  turns: z.array(turnSchema),
  /** Surge machines, and machines that are no longer wanted, after the turns. */
  last: z.array(turnSchema),
});
export type Lane = z.infer<typeof laneSchema>;

/** Lanes of one wave go on side by side; a wave begins when the one before it is done. */
export const waveSchema = z.strictObject({
  /** `etcd`, `masters`, `addons`, `pools`, `shrink` */
  name: z.string(),
  /** The Kubernetes version to which this wave moves: chained minors have several waves of masters. */
  kubernetes: z.string(),
  lanes: z.array(laneSchema),
  /** What is changed besides machines: `kube.addon/coredns`. */
  changes: z.array(z.string()),
});
export type Wave = z.infer<typeof waveSchema>;

/** What would stop a drain, by name, or is worth knowing before. */
export const obstacleSchema = z.strictObject({
  severity: z.enum(['error', 'warning']),
  where: z.string(),
  what: z.string(),
  why: z.string().optional(),
  next: z.string().optional(),
});
export type Obstacle = z.infer<typeof obstacleSchema>;

/** Before etcd or a master is touched. `have`: there is one that is young enough, or that this rollout has taken. `skip`: the command says so. */
const recoveryPointSchema = z.strictObject({
  what: z.enum(['take', 'have', 'skip']),
  /** `at` in milliseconds since the epoch; null: there is none. */
  newest: z.strictObject({ id: z.string(), at: z.number(), ageSeconds: z.int() }).nullable(),
});

export const rolloutSchema = z.strictObject({
  versions: z.array(versionChange),
  /** Settings of cluster.yaml that come into force. */
  settings: z.array(z.string()),
  waves: z.array(waveSchema),
  /** Absent: neither etcd nor a master is touched. */
  recoveryPoint: recoveryPointSchema.optional(),
  /** Absent: all of it. `part`: what `--only` named; `leftOut`: machines that a later run is for. */
  only: z.strictObject({ part: z.string(), leftOut: z.array(z.string()) }).optional(),
  /** What `--force-after` named: pods that would not leave are deleted after this time, whatever cluster.yaml says of their pool. */
  forceAfterSeconds: z.number().min(0).optional(),
  /** Pods that move. */
  pods: z.int(),
  obstacles: z.array(obstacleSchema),
  /** Seconds, from this cluster's own history; null: it has none. */
  estimateSeconds: z.number().nullable(),
});
export type Rollout = z.infer<typeof rolloutSchema>;
