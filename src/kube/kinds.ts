/** Kinds by `apiVersion/kind`: their path, so that nothing must be discovered for what every cluster has. Others are asked for. */
export interface Kind {
  readonly plural: string;
  readonly namespaced: boolean;
}
const namespaced = (plural: string): Kind => ({ plural, namespaced: true });
const wide = (plural: string): Kind => ({ plural, namespaced: false });

export const knownKinds: ReadonlyMap<string, Kind> = new Map([
  ['v1/Namespace', wide('namespaces')],
  ['v1/Node', wide('nodes')],
  ['v1/Pod', namespaced('pods')],
  ['v1/PersistentVolume', wide('persistentvolumes')],
  ['v1/Secret', namespaced('secrets')],
  ['v1/ConfigMap', namespaced('configmaps')],
  ['v1/Service', namespaced('services')],
  ['v1/ServiceAccount', namespaced('serviceaccounts')],
  ['apps/v1/Deployment', namespaced('deployments')],
  ['apps/v1/DaemonSet', namespaced('daemonsets')],
  ['apps/v1/StatefulSet', namespaced('statefulsets')],
  ['batch/v1/Job', namespaced('jobs')],
  ['batch/v1/CronJob', namespaced('cronjobs')],
  ['policy/v1/PodDisruptionBudget', namespaced('poddisruptionbudgets')],
  ['rbac.authorization.k8s.io/v1/Role', namespaced('roles')],
  ['rbac.authorization.k8s.io/v1/RoleBinding', namespaced('rolebindings')],
  ['rbac.authorization.k8s.io/v1/ClusterRole', wide('clusterroles')],
  ['rbac.authorization.k8s.io/v1/ClusterRoleBinding', wide('clusterrolebindings')],
  ['networking.k8s.io/v1/NetworkPolicy', namespaced('networkpolicies')],
  ['networking.k8s.io/v1/IngressClass', wide('ingressclasses')],
  ['storage.k8s.io/v1/StorageClass', wide('storageclasses')],
  ['storage.k8s.io/v1/CSIDriver', wide('csidrivers')],
  ['certificates.k8s.io/v1/CertificateSigningRequest', wide('certificatesigningrequests')],
  ['scheduling.k8s.io/v1/PriorityClass', wide('priorityclasses')],
  ['apiregistration.k8s.io/v1/APIService', wide('apiservices')],
  ['apiextensions.k8s.io/v1/CustomResourceDefinition', wide('customresourcedefinitions')],
  ['admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration', wide('validatingwebhookconfigurations')],
  ['admissionregistration.k8s.io/v1/MutatingWebhookConfiguration', wide('mutatingwebhookconfigurations')],
]);

/** `/api/v1` or `/apis/apps/v1` */
export const groupPath = (apiVersion: string): string =>
  apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;

/** In which order objects are applied: what others need to exist, plain objects, and what starts pods or takes part in requests. */
export function stageOf(kind: string): 0 | 1 | 2 {
  if (['Namespace', 'CustomResourceDefinition', 'PriorityClass'].includes(kind)) return 0;
  if (/^(Deployment|DaemonSet|StatefulSet|Job|CronJob|Pod|APIService)$|WebhookConfiguration$/.test(kind)) return 2;
  return 1;
}

const upstreamGroups = new Set([
  '',
  'apps',
  'autoscaling',
  'batch',
  'policy',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'certificates.k8s.io',
  'coordination.k8s.io',
  'discovery.k8s.io',
  'events.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'internal.apiserver.k8s.io',
  'networking.k8s.io',
  'node.k8s.io',
  'rbac.authorization.k8s.io',
  'resource.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
  'storagemigration.k8s.io',
]);
export const groupOf = (apiVersion: string): string =>
  apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
/** Of Kubernetes itself: others come from CustomResourceDefinitions and aggregated APIs, perhaps in a moment. */
export const isUpstream = (apiVersion: string): boolean => upstreamGroups.has(groupOf(apiVersion));
