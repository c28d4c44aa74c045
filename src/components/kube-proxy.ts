import type { Topology } from '../cluster/topology.ts';
import { execStart, featureGateFlag } from './flags.ts';
import { apiServer, isLocal } from './host-env.ts';
import { kubeconfig, kubeconfigFile } from './kubeconfig.ts';
import type { Part } from './part.ts';
import { assets, installed } from './paths.ts';
import { certificate, trust, trustFile } from './pki.ts';
import { render } from './template.ts';

const name = 'kube-proxy';

export function kubeProxy(topology: Topology, master: boolean): Part {
  const { kubernetes, network } = topology.cluster;
  // Limits of the whole kernel, which a container may not and should not set; 0 leaves them as they are.
  const conntrack = isLocal(topology)
    ? {
        'conntrack-max-per-core': 0,
        'conntrack-min': 0,
        'conntrack-tcp-timeout-established': '0s',
        'conntrack-tcp-timeout-close-wait': '0s',
      }
    : {};
  const command = execStart(
    installed(name, topology.versions),
    {
      kubeconfig: kubeconfigFile(name),
      'hostname-override': '${NODE_NAME}',
      'proxy-mode': 'nftables',
      'cluster-cidr': network.pods,
      // What balancers in front of Services ask.
      'healthz-bind-address': '0.0.0.0:10256',
      'metrics-bind-address': '127.0.0.1:10249',
      ...conntrack,
      'feature-gates': featureGateFlag(kubernetes.featureGates),
    },
    kubernetes.extraArgs.kubeProxy,
  );
  return {
    files: [trust('kubernetes'), kubeconfig(name, apiServer(master, topology))],
    units: [
      {
        name: `${name}.service`,
        text: render(`units/${name}.service`, { command }),
        inputs: [kubeconfigFile(name), trustFile('kubernetes')],
        certificates: [name],
        serving: false,
      },
    ],
    assets: assets([name], topology.versions),
    certificates: [certificate({ name, authority: 'kubernetes', cn: 'system:kube-proxy', usages: ['client'] })],
  };
}
