import type { Topology } from '../cluster/topology.ts';
import type { Cluster, Pool } from '../config/schema.ts';
import type { BundleUnit, CertificateSpec } from './bundle.ts';
import { execStart } from './flags.ts';
import { apiServer, hasCloudController, isLocal, nthAddress, serviceAddress } from './host-env.ts';
import { kubeconfig, kubeconfigFile } from './kubeconfig.ts';
import { type Part, textFile } from './part.ts';
import { assets, installed } from './paths.ts';
import { certFile, certificate, cipherSuites, keyFile, leafLifetimeDays, trust, trustFile } from './pki.ts';
import { render } from './template.ts';

const configFile = '/etc/kubernetes/kubelet.yaml';
const prepareScript = '/etc/slipway/kubelet-prepare';
/** The kubelet's own rotation file: issued once by us, then renewed by the kubelet (hard part 10). */
const clientFile = '/var/lib/kubelet/pki/kubelet-client-current.pem';
/** Where pods find Docker's resolver: link-local, beside the address that node-local DNS caches use. */
const localResolver = '169.254.20.53';

export const controlPlaneTaint = { key: 'node-role.kubernetes.io/control-plane', value: '', effect: 'NoSchedule' } as const;

/** The kubelet of masters (no pool) or of one pool. */
export function kubelet(topology: Topology, pool?: Pool): Part {
  const local = isLocal(topology);
  return {
    files: [
      trust('kubernetes'),
      kubeconfig('kubelet', apiServer(pool === undefined, topology), { certificate: clientFile, key: clientFile }),
      textFile(configFile, config(topology, pool)),
      textFile(prepareScript, render('config/kubelet-prepare.sh', { fallback: fallbackResolvers(topology) }), '0755'),
    ],
    units: [unit(topology, pool), ...(local ? [resolver] : [])],
    assets: assets(['kubelet'], topology.versions),
    certificates: [
      client,
      certificate({
        name: 'kubelet-server',
        authority: 'nodes',
        cn: 'system:node:${NODE_NAME}',
        o: ['system:nodes'],
        usages: ['server'],
        dns: ['${NODE_NAME}'],
        ip: ['${NODE_IP}'],
      }),
    ],
  };
}

/** Name servers for pods where the host names none that a pod could reach. */
function fallbackResolvers(topology: Topology): string {
  const { provider, network } = topology.cluster;
  if (provider.local) return localResolver;
  if (!provider.aws) return '1.1.1.1 8.8.8.8';
  // Amazon's resolver: the VPC's second address, and the same for every VPC. The range of one that is not ours is not known.
  return [...(provider.aws.vpc ? [] : [nthAddress(network.machines, 2)]), '169.254.169.253'].join(' ');
}

const client: CertificateSpec = {
  name: 'kubelet-client',
  authority: 'nodes',
  subject: { cn: 'system:node:${NODE_NAME}', o: ['system:nodes'] },
  sans: { dns: [], ip: [] },
  usages: ['client'],
  lifetimeDays: leafLifetimeDays,
  files: { combined: clientFile },
};

const resolver: BundleUnit = {
  name: 'slipway-dns.service',
  text: render('units/slipway-dns.service', { address: localResolver }),
  inputs: [],
  certificates: [],
  serving: false,
};

function unit(topology: Topology, pool: Pool | undefined): BundleUnit {
  const command = execStart(
    installed('kubelet', topology.versions),
    {
      config: configFile,
      'config-dir': '/run/slipway/kubelet.d',
      kubeconfig: kubeconfigFile('kubelet'),
      'hostname-override': '${NODE_NAME}',
      'node-ip': '${NODE_IP}',
      // For registration only: `kube.node` owns labels from then on.
      'node-labels': '${NODE_LABELS}',
      ...(hasCloudController(topology) ? { 'cloud-provider': 'external', 'provider-id': '${PROVIDER_ID}' } : {}),
    },
    { ...topology.cluster.kubernetes.extraArgs.kubelet, ...pool?.kubelet.extraArgs },
  );
  return {
    name: 'kubelet.service',
    text: render('units/kubelet.service', { command }),
    inputs: [configFile, prepareScript, kubeconfigFile('kubelet'), trustFile('kubernetes')],
    certificates: ['kubelet-client', 'kubelet-server'],
    serving: false,
  };
}

function config(topology: Topology, pool: Pool | undefined): string {
  const { kubernetes } = topology.cluster;
  const local = isLocal(topology);
  const taints = pool ? pool.taints : [controlPlaneTaint];
  return render('config/kubelet.yaml', {
    clientCa: trustFile('kubernetes'),
    cert: certFile('kubelet-server'),
    key: keyFile('kubelet-server'),
    cipherSuites: JSON.stringify(cipherSuites),
    dns: serviceAddress(topology, 10),
    taints: JSON.stringify(taints.map((taint) => (taint.value ? taint : { key: taint.key, effect: taint.effect }))),
    maxPods: kubernetes.maxPods,
    kubeReserved: reserved(pool?.kubelet.kubeReserved ?? kubernetes.kubeReserved),
    systemReserved: reserved(pool?.kubelet.systemReserved ?? kubernetes.systemReserved),
    // Local machines share the disk of the host, of which upstream's 10 % (and 85 % for image collection) are not ours to ask for.
    evictionHard: JSON.stringify({
      'memory.available': '100Mi',
      'nodefs.available': local ? '1%' : '10%',
      'nodefs.inodesFree': local ? '1%' : '5%',
      'imagefs.available': local ? '1%' : '15%',
    }),
    imageGcHigh: local ? 99 : 85,
    imageGcLow: local ? 98 : 80,
    featureGates: JSON.stringify(kubernetes.featureGates),
  });
}

const reserved = (resources: Cluster['kubernetes']['kubeReserved']): string =>
  JSON.stringify(Object.fromEntries(Object.entries(resources).filter(([, amount]) => amount !== undefined)));
