import type { Topology } from '../cluster/topology.ts';
import { serviceAccountKeyFile } from './apiserver.ts';
import { execStart, featureGateFlag } from './flags.ts';
import { apiServer, hasCloudController } from './host-env.ts';
import { kubeconfig, kubeconfigFile } from './kubeconfig.ts';
import type { Part } from './part.ts';
import { assets, installed } from './paths.ts';
import { certFile, certificate, cipherSuites, keyFile, trust, trustFile } from './pki.ts';
import { sandbox } from './sandbox.ts';
import { render } from './template.ts';

const name = 'kube-controller-manager';
/** Signs kubelets' certificates. The roots' keys are on no machine (hard part 11). */
const nodesKeyFile = '/etc/slipway/pki/nodes.ca-key.pem';

export function controllerManager(topology: Topology): Part {
  return {
    files: [
      trust('kubernetes'),
      trust('nodes'),
      trust('front-proxy'),
      trust('api-clients', ['kubernetes', 'nodes']),
      kubeconfig(name, apiServer(true, topology)),
      { path: nodesKeyFile, mode: '0600', content: { secret: 'authority.nodes' } },
      { path: serviceAccountKeyFile, mode: '0600', content: { secret: 'service-account' } },
    ],
    units: [
      {
        name: `${name}.service`,
        text: render(`units/${name}.service`, { command: command(topology), sandbox: sandbox() }),
        inputs: [kubeconfigFile(name), serviceAccountKeyFile, trustFile('kubernetes'), trustFile('nodes'), nodesKeyFile],
        certificates: [name],
        serving: false,
      },
    ],
    assets: assets([name], topology.versions),
    certificates: [
      certificate({
        name,
        authority: 'kubernetes',
        cn: 'system:kube-controller-manager',
        // Also for its own port on loopback: else it makes itself an RSA key at every start.
        usages: ['client', 'server'],
        dns: ['localhost'],
        ip: ['127.0.0.1'],
      }),
    ],
  };
}

function command(topology: Topology): string {
  const { kubernetes, network } = topology.cluster;
  const config = kubeconfigFile(name);
  return execStart(
    installed(name, topology.versions),
    {
      kubeconfig: config,
      'authentication-kubeconfig': config,
      'authorization-kubeconfig': config,
      'bind-address': '127.0.0.1',
      'tls-cert-file': certFile(name),
      'tls-private-key-file': keyFile(name),
      'tls-min-version': 'VersionTLS12',
      'tls-cipher-suites': cipherSuites.join(','),
      'client-ca-file': trustFile('api-clients'),
      'requestheader-client-ca-file': trustFile('front-proxy'),
      profiling: false,
      'leader-elect': true,
      // Upstream asks every 2 s; a cluster that has just been made waits for the first one to ask.
      'leader-elect-retry-period': '1s',
      'use-service-account-credentials': true,
      'service-account-private-key-file': serviceAccountKeyFile,
      'root-ca-file': trustFile('kubernetes'),
      'cluster-name': topology.cluster.name,
      'cluster-signing-cert-file': trustFile('nodes'),
      'cluster-signing-key-file': nodesKeyFile,
      'allocate-node-cidrs': true,
      'cluster-cidr': network.pods,
      'service-cluster-ip-range': network.services,
      'node-cidr-mask-size': 24,
      'cloud-provider': hasCloudController(topology) ? 'external' : undefined,
      // Upstream's 20 and 30 are shared by all controllers, and keep a new cluster waiting for its own service accounts.
      'kube-api-qps': 100,
      'kube-api-burst': 200,
      'feature-gates': featureGateFlag(kubernetes.featureGates),
    },
    kubernetes.extraArgs.controllerManager,
  );
}
