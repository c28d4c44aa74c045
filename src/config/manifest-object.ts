/** A Kubernetes object out of a manifest, as it is to be applied. It may hold secrets: messages name its key, and never show what is in it. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}
/** What is wrong, and at which value of the object. */
export interface ObjectProblem {
  readonly path: readonly string[];
  readonly what: string;
  readonly next?: string;
}

type Fields = Readonly<Record<string, unknown>>;
export const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** Labels and annotations by which Slipway finds its own objects. */
const reserved = 'slipway.dev/';
/** etcd takes requests up to 1.5 MiB. */
const largest = 1_500_000;
/** Written by the API server alone: they come with `kubectl get -o yaml`, and with what generates CustomResourceDefinitions. */
const written = ['creationTimestamp', 'deletionTimestamp', 'generation', 'managedFields', 'resourceVersion', 'selfLink', 'uid'];
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * One document, checked for what the API needs to know to find its place, and freed of what the API server writes itself. Fields beyond
 * that are the API's to judge.
 */
export function toManifestObject(value: Fields): {
  readonly object?: ManifestObject;
  readonly problems: readonly ObjectProblem[];
} {
  const problems: ObjectProblem[] = [];
  const wrong = (path: readonly string[], what: string, next?: string): void =>
    void problems.push({ path, what, ...(next === undefined ? {} : { next }) });
  const { apiVersion, kind } = value;
  if (!isText(apiVersion) || !/^([a-z0-9.-]+\/)?v[a-z0-9]+$/.test(apiVersion))
    wrong(['apiVersion'], 'This object has no apiVersion such as v1 or apps/v1');
  if (!isText(kind) || !/^[A-Za-z][A-Za-z0-9]*$/.test(kind)) wrong(['kind'], 'This object has no kind such as Deployment');
  if (!isText(apiVersion) || !isText(kind) || problems.length > 0) return { problems };
  const refusal = refusedKind(apiVersion, kind);
  if (refusal) return { problems: [{ path: ['kind'], ...refusal }] };

  const metadata = isFields(value.metadata) ? value.metadata : {};
  const { name, namespace } = metadata;
  if (!isText(name))
    wrong(
      ['metadata', 'name'],
      `This ${kind} has no name (metadata.name)`,
      'generateName' in metadata ? 'give it a name of its own: what has a new name each time cannot be compared' : undefined,
    );
  else if (!/^[^/%\s]+$/.test(name) || name === '.' || name === '..')
    wrong(['metadata', 'name'], `${JSON.stringify(name.slice(0, 80))} is no name of an object`);
  if (namespace !== undefined && namespace !== null && !(isText(namespace) && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(namespace)))
    wrong(['metadata', 'namespace'], 'metadata.namespace is no name of a namespace');
  const labels = texts(metadata.labels, ['metadata', 'labels'], wrong);
  const annotations = texts(metadata.annotations, ['metadata', 'annotations'], wrong);
  for (const [field, map] of [['labels', labels] as const, ['annotations', annotations] as const])
    for (const key of Object.keys(map))
      if (key.startsWith(reserved))
        wrong(['metadata', field, key], `${key} is Slipway's own: by these it knows what it has made`, 'remove it');
  const { status: _, ...rest } = value;
  const content = secretContent(rest, apiVersion, kind, wrong);
  if (!isText(name) || problems.length > 0) return { problems };

  const kept = Object.entries(metadata).filter(
    ([key]) => !written.includes(key) && !['namespace', 'labels', 'annotations'].includes(key),
  );
  const own = Object.entries(annotations).filter(([key]) => key !== lastApplied);
  const object: ManifestObject = {
    ...withoutAggregated(content, kind),
    apiVersion,
    kind,
    metadata: {
      ...Object.fromEntries(kept),
      name,
      ...(isText(namespace) && !isClusterWide(apiVersion, kind) && { namespace }),
      ...(Object.keys(labels).length > 0 && { labels }),
      ...(own.length > 0 && { annotations: Object.fromEntries(own) }),
    },
  };
  const bytes = Buffer.byteLength(JSON.stringify(object));
  if (bytes <= largest) return { object, problems };
  return { problems: [{ path: [], what: `This ${kind} is too large: it has ${bytes} bytes, and etcd takes ${largest}` }] };
}

function refusedKind(apiVersion: string, kind: string): { what: string; next: string } | undefined {
  if (apiVersion.startsWith('slipway/'))
    return { what: 'This is a cluster.yaml and no manifest', next: 'keep it out of the directory of manifests' };
  if (kind === 'Kustomization' && apiVersion.startsWith('kustomize.config.k8s.io/'))
    return { what: 'This is a file of kustomize and no object', next: 'name what it makes: kubectl kustomize DIRECTORY > FILE' };
  if (apiVersion === 'v1' && kind === 'Node')
    return { what: 'Nodes are made by their kubelets', next: 'labels and taints belong in pools of cluster.yaml' };
  return undefined;
}

type Wrong = (path: readonly string[], what: string, next?: string) => void;

function texts(value: unknown, path: readonly string[], wrong: Wrong): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isFields(value)) {
    wrong(path, `${path.join('.')} is no mapping`);
    return {};
  }
  for (const [key, inner] of Object.entries(value))
    if (typeof inner !== 'string') wrong([...path, key], `${path.join('.')}: the value of ${key} is no text`, 'put it in quotes');
  return Object.fromEntries(Object.entries(value).flatMap(([key, inner]) => (typeof inner === 'string' ? [[key, inner]] : [])));
}

export const isSecret = ({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): boolean =>
  apiVersion === 'v1' && kind === 'Secret';

/**
 * A Secret with `stringData` in `data`: the former is written and never read back, so that server-side apply would own what is not
 * there. Checked here, because the API's own message of a wrong value repeats it.
 */
function secretContent(value: Fields, apiVersion: string, kind: string, wrong: Wrong): Fields {
  if (!isSecret({ apiVersion, kind })) return value;
  const { stringData, data, ...rest } = value;
  const encoded = texts(data, ['data'], wrong);
  for (const [key, text] of Object.entries(encoded))
    if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text) || text.replace(/\s/g, '').length % 4 !== 0)
      wrong(['data', key], `data: the value of ${key} is not base64`, 'write it as it is, under stringData');
  const plain = Object.entries(texts(stringData, ['stringData'], wrong));
  const all = { ...encoded, ...Object.fromEntries(plain.map(([key, text]) => [key, Buffer.from(text).toString('base64')])) };
  return { ...rest, ...(Object.keys(all).length > 0 && { data: all }) };
}

/** The rules of an aggregated ClusterRole are written by a controller of Kubernetes. */
function withoutAggregated(value: Fields, kind: string): Fields {
  if (kind !== 'ClusterRole' || !isFields(value.aggregationRule)) return value;
  const { rules: _, ...rest } = value;
  return rest;
}

const clusterWide = new Set([
  'Namespace',
  'PersistentVolume',
  'ClusterRole.rbac.authorization.k8s.io',
  'ClusterRoleBinding.rbac.authorization.k8s.io',
  'CustomResourceDefinition.apiextensions.k8s.io',
  'APIService.apiregistration.k8s.io',
  'StorageClass.storage.k8s.io',
  'CSIDriver.storage.k8s.io',
  'VolumeAttributesClass.storage.k8s.io',
  'PriorityClass.scheduling.k8s.io',
  'RuntimeClass.node.k8s.io',
  'IngressClass.networking.k8s.io',
  'ValidatingWebhookConfiguration.admissionregistration.k8s.io',
  'MutatingWebhookConfiguration.admissionregistration.k8s.io',
  'ValidatingAdmissionPolicy.admissionregistration.k8s.io',
  'ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io',
  'MutatingAdmissionPolicy.admissionregistration.k8s.io',
  'MutatingAdmissionPolicyBinding.admissionregistration.k8s.io',
  'FlowSchema.flowcontrol.apiserver.k8s.io',
  'PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io',
  'DeviceClass.resource.k8s.io',
]);
/** Generated manifests give such objects a namespace, and kubectl ignores it. */
const isClusterWide = (apiVersion: string, kind: string): boolean => clusterWide.has(groupKind(apiVersion, kind));

const groupKind = (apiVersion: string, kind: string): string => {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  return group === '' ? kind : `${kind}.${group}`;
};

/**
 * What names an object: `Deployment.apps/web/front`, `ConfigMap/settings`. Without the version, in which one object has many; without a
 * namespace where that is `default` or there is none, since a manifest cannot tell the two apart.
 */
export const manifestKey = (apiVersion: string, kind: string, namespace: string | undefined, name: string): string =>
  [groupKind(apiVersion, kind), ...(namespace && namespace !== 'default' ? [namespace] : []), name].join('/');
