import { z } from 'zod';
import { type Cluster, clusterSchema } from '../config/schema.ts';

/** The keys of cluster.yaml that reach programs which serve, as the record keeps them (in-force.ts). */
export const settingsSchema = z.object({
  kubernetes: clusterSchema.shape.kubernetes,
  etcd: z.object({ events: z.boolean(), quotaMb: z.int() }),
});
export type Settings = z.infer<typeof settingsSchema>;

export const settingsOf = ({ kubernetes, etcd: { events, quotaMb } }: Cluster): Settings => ({
  kubernetes,
  etcd: { events, quotaMb },
});

/** One key of the file that is in force or not as a whole. */
interface Setting {
  readonly path: string;
  of(cluster: Cluster): unknown;
  /** `to`, with this setting as `from` has it. */
  copy(from: Cluster, to: Cluster): Cluster;
}
type Kubernetes = Cluster['kubernetes'];
type KubernetesKey = Exclude<keyof Kubernetes, 'version' | 'extraArgs'>;

const kubernetesKey = (key: KubernetesKey): Setting => ({
  path: `kubernetes.${key}`,
  of: ({ kubernetes }) => kubernetes[key],
  copy: (from, to) => ({ ...to, kubernetes: { ...to.kubernetes, [key]: from.kubernetes[key] } }),
});
const extraArgsKey = (key: keyof Kubernetes['extraArgs']): Setting => ({
  path: `kubernetes.extraArgs.${key}`,
  of: ({ kubernetes }) => kubernetes.extraArgs[key],
  copy: (from, to) => ({
    ...to,
    kubernetes: { ...to.kubernetes, extraArgs: { ...to.kubernetes.extraArgs, [key]: from.kubernetes.extraArgs[key] } },
  }),
});
const etcdKey = (key: keyof Settings['etcd']): Setting => ({
  path: `etcd.${key}`,
  of: ({ etcd }) => etcd[key],
  copy: (from, to) => ({ ...to, etcd: { ...to.etcd, [key]: from.etcd[key] } }),
});

/** As a record, so that a new key of the schema does not compile until it is named here. */
const ofKubernetes: Readonly<Record<KubernetesKey, Setting>> = {
  api: kubernetesKey('api'),
  admission: kubernetesKey('admission'),
  audit: kubernetesKey('audit'),
  oidc: kubernetesKey('oidc'),
  featureGates: kubernetesKey('featureGates'),
  kubeReserved: kubernetesKey('kubeReserved'),
  systemReserved: kubernetesKey('systemReserved'),
  encryptionAtRest: kubernetesKey('encryptionAtRest'),
  podSecurity: kubernetesKey('podSecurity'),
  maxPods: kubernetesKey('maxPods'),
};
const ofComponents: Readonly<Record<keyof Kubernetes['extraArgs'], Setting>> = {
  apiserver: extraArgsKey('apiserver'),
  controllerManager: extraArgsKey('controllerManager'),
  scheduler: extraArgsKey('scheduler'),
  kubelet: extraArgsKey('kubelet'),
  kubeProxy: extraArgsKey('kubeProxy'),
};
export const settings: readonly Setting[] = [
  ...Object.values(ofKubernetes),
  ...Object.values(ofComponents),
  etcdKey('events'),
  etcdKey('quotaMb'),
];
