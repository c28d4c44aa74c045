import { z } from 'zod';
import { type Component, componentVersions, newestKubernetes } from '../versions.ts';
import { any, cidr, extraArgs, resources, text } from './words.ts';

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

export const kubernetes = z
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
