import { z } from 'zod';
import { type Cluster, clusterSchema } from '../config/schema.ts';

/** The keys of cluster.yaml that reach programs which serve, as the record keeps them (in-force.ts). */
export const settingsSchema = z.object({
  kubernetes: clusterSchema.shape.kubernetes,
  etcd: z.object({ events: z.boolean(), quotaMb: z.int() }),
  /** Of each pool. A record from before they were kept has none: its pools follow the file. */
  pools: z.record(z.string(), clusterSchema.shape.pools.unwrap().element.shape.kubelet).default({}),
});
export type Settings = z.infer<typeof settingsSchema>;

export const settingsOf = ({ kubernetes, etcd: { events, quotaMb }, pools }: Cluster): Settings => ({
  kubernetes,
  etcd: { events, quotaMb },
  pools: kubeletsOf(pools),
});
const kubeletsOf = (pools: Cluster['pools']): Settings['pools'] =>
  Object.fromEntries(pools.map(({ name, kubelet }) => [name, kubelet]));

/** The file with these settings; everything else follows it at once. A pool that they do not know is new. */
export const withSettings = (cluster: Cluster, { kubernetes, etcd, pools }: Settings): Cluster => ({
  ...cluster,
  kubernetes: { ...kubernetes, version: cluster.kubernetes.version, components: cluster.kubernetes.components },
  etcd: { ...cluster.etcd, ...etcd },
  pools: withKubelets(cluster.pools, pools),
});
const withKubelets = (pools: Cluster['pools'], kubelets: Settings['pools']): Cluster['pools'] =>
  pools.map((pool) => ({ ...pool, kubelet: kubelets[pool.name] ?? pool.kubelet }));

/** One key of the file that is in force or not as a whole. */
interface Setting {
  readonly path: string;
  of(cluster: Cluster): unknown;
  /** `to`, with this setting as `from` has it. */
  copy(from: Cluster, to: Cluster): Cluster;
}
type Kubernetes = Cluster['kubernetes'];
type KubernetesKey = Exclude<keyof Kubernetes, 'version' | 'components' | 'extraArgs'>;

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
const ofPools: Setting = {
  path: 'pools.kubelet',
  of: ({ pools }) => kubeletsOf(pools),
  copy: (from, to) => ({ ...to, pools: withKubelets(to.pools, kubeletsOf(from.pools)) }),
};
/** Arguments are written for the version that the file asks for: another one may not know such a flag. */
export const isForVersion = ({ path }: Setting): boolean => path.startsWith('kubernetes.extraArgs.') || path === ofPools.path;

export const settings: readonly Setting[] = [
  ...Object.values(ofKubernetes),
  ...Object.values(ofComponents),
  ofPools,
  etcdKey('events'),
  etcdKey('quotaMb'),
];
