import { imageName } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import type { Addon } from './addons.ts';
import { manifest } from './manifest.ts';
import { masterReplicas, masterTolerations, ownApiServer } from './placement.ts';

/** Volumes of pods on EBS: its controller on masters, its node part everywhere, and the default StorageClass. */
export function ebsCsi(topology: Topology): Addon {
  const { cluster, region, versions } = topology;
  const kmsKey = cluster.provider.aws?.kmsKey;
  // Slipway's own beside Kubernetes': a cluster of EKS or kops with the same name gives its volumes the latter too.
  const tags = extraTags({ ...cluster.provider.aws?.tags, 'slipway.dev/cluster': cluster.name });
  return {
    name: 'ebs-csi',
    objects: manifest('addons/ebs-csi.yaml', {
      driver: imageName('aws-ebs-csi-driver', versions),
      provisioner: imageName('csi-provisioner', versions),
      attacher: imageName('csi-attacher', versions),
      resizer: imageName('csi-resizer', versions),
      registrar: imageName('csi-node-driver-registrar', versions),
      liveness: imageName('livenessprobe', versions),
      replicas: masterReplicas(topology),
      tolerations: masterTolerations,
      parameters: JSON.stringify({ type: 'gp3', encrypted: 'true', ...(kmsKey === undefined ? {} : { kmsKeyId: kmsKey }) }),
      controllerArgs: JSON.stringify([
        'controller',
        '--endpoint=unix:///csi/csi.sock',
        // Tags every volume with kubernetes.io/cluster/NAME=owned: what its policy asks for. `down` finds them by both.
        `--k8s-tag-cluster-id=${cluster.name}`,
        `--extra-tags=${tags}`,
        '--batching=true',
        '--logging-format=text',
        '--v=2',
      ]),
      env: JSON.stringify(ownApiServer),
      driverEnv: JSON.stringify([
        ...ownApiServer,
        { name: 'AWS_REGION', value: region },
        { name: 'CSI_NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      ]),
    }),
    ready: [
      { kind: 'Deployment', namespace: 'kube-system', name: 'ebs-csi-controller' },
      { kind: 'DaemonSet', namespace: 'kube-system', name: 'ebs-csi-node' },
    ],
    certificates: [],
  };
}

/** `provider.aws.tags` for its volumes too. The flag knows no quoting: tags with its separators stay away. */
const extraTags = (tags: Readonly<Record<string, string>>): string =>
  Object.entries(tags)
    .filter((tag) => tag.every((text) => !/[,=]/.test(text)))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
