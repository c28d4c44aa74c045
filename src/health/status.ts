import { z } from 'zod';

/** What `cluster status -o json` writes; the JSON Schema under schema/ comes from this. What could not be asked is `unknown` with a reason, never left out. */

const role = z.enum(['bastion', 'etcd', 'master', 'worker']);
const milliseconds = z.number().describe('Milliseconds since the epoch');

const apiSchema = z.strictObject({
  url: z.string(),
  state: z.enum(['ready', 'not-ready', 'unreachable']),
  why: z.string().exactOptional(),
});
const countSchema = z.strictObject({ up: z.int().describe('Running, or Ready'), of: z.int() });
const zoneSchema = z.strictObject({ name: z.string(), machines: countSchema, nodes: countSchema });
const machineSchema = z.strictObject({
  name: z.string(),
  role,
  zone: z.string(),
  address: z.string(),
  state: z.enum(['running', 'stopped', 'absent', 'unknown']),
  notes: z.array(z.string()).describe('Units that should run and do not, files that differ, or why it could not be seen'),
});
const nodeSchema = z.strictObject({
  name: z.string(),
  zone: z.string(),
  role,
  pool: z.string().exactOptional(),
  ready: z.union([z.boolean(), z.literal('unknown')]),
  lacksPodNetwork: z.boolean().describe('It is not Ready, and lacks nothing but a pod network'),
  cordoned: z.boolean(),
  kubelet: z.string().describe('Its version'),
  notes: z.array(z.string()).describe('Conditions that are not as they should be (DiskPressure), taints beyond the declared'),
});
const etcdMemberSchema = z.strictObject({
  name: z.string(),
  state: z.enum(['healthy', 'unhealthy', 'learner', 'unknown']),
  leader: z.boolean(),
  version: z.string().optional(),
  dbBytes: z.number().optional(),
  quotaBytes: z.number().optional(),
  alarms: z.array(z.string()).describe('NOSPACE, CORRUPT'),
  why: z.string().exactOptional(),
});
const etcdSchema = z.strictObject({
  cluster: z.enum(['main', 'events']),
  quorum: z.enum(['healthy', 'at-risk', 'lost', 'unknown']),
  members: z.array(etcdMemberSchema),
});
const versionsSchema = z.strictObject({
  wanted: z.string().describe('What cluster.yaml asks for'),
  inForce: z.string().optional().describe('The record that only upgrade moves'),
  running: z
    .array(z.strictObject({ component: z.string(), version: z.string(), on: z.array(z.string()) }))
    .describe('Each version of a program with the names of the machines that run it'),
  silent: z.array(z.string()).describe('Masters whose API server did not say its version'),
  skew: z.array(z.string()).describe("Where Kubernetes' version skew policy is broken"),
});
const certificateSchema = z.strictObject({
  name: z.string().describe('master-a.apiserver'),
  authority: z.string(),
  notAfter: milliseconds.optional(),
  state: z
    .enum(['fresh', 'due', 'expired', 'unfit', 'missing', 'unknown'])
    .describe('due: renewed by the next up. unfit: no certificate, or not of the key beside it'),
});
const driftSchema = z.strictObject({
  now: z.array(z.string()).describe('Differences that up would carry out'),
  left: z.array(z.string()).describe('Differences that up leaves'),
  unknown: z.array(z.string()).describe('What could not be compared'),
});
const findingSchema = z.strictObject({
  severity: z.enum(['error', 'warning', 'ok']),
  check: z.string().describe('Which question: certificates.expiry'),
  what: z.string(),
  where: z.string().exactOptional(),
  why: z.string().exactOptional(),
  next: z.string().exactOptional(),
});

export const statusSchema = z.strictObject({
  formatVersion: z.literal(1),
  cluster: z.string(),
  provider: z.string(),
  at: milliseconds,
  exists: z.boolean().describe('False: nothing of this cluster exists'),
  api: apiSchema.optional(),
  zones: z.array(zoneSchema),
  machines: z.array(machineSchema),
  nodes: z.array(nodeSchema),
  etcd: z.array(etcdSchema),
  versions: versionsSchema,
  certificates: z.array(certificateSchema),
  drift: driftSchema,
  findings: z.array(findingSchema).describe('Everything that is not as it should be, worst first'),
});

/** Data is read, and never written into. */
type Read<T> = T extends readonly (infer E)[]
  ? readonly Read<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Read<T[K]> }
    : T;
type Of<S extends z.ZodType> = Read<z.infer<S>>;

export type Status = Of<typeof statusSchema>;
export type ApiStatus = Of<typeof apiSchema>;
export type ZoneStatus = Of<typeof zoneSchema>;
export type MachineStatus = Of<typeof machineSchema>;
export type NodeStatus = Of<typeof nodeSchema>;
export type EtcdStatus = Of<typeof etcdSchema>;
export type EtcdMemberStatus = Of<typeof etcdMemberSchema>;
export type VersionStatus = Of<typeof versionsSchema>;
export type CertificateStatus = Of<typeof certificateSchema>;
export type DriftStatus = Of<typeof driftSchema>;
