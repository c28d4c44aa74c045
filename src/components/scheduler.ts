import type { Topology } from '../cluster/topology.ts';
import { execStart, featureGateFlag } from './flags.ts';
import { apiServer } from './host-env.ts';
import { kubeconfig, kubeconfigFile } from './kubeconfig.ts';
import type { Part } from './part.ts';
import { assets, installed } from './paths.ts';
import { certFile, certificate, cipherSuites, keyFile, trust, trustFile } from './pki.ts';
import { sandbox } from './sandbox.ts';
import { render } from './template.ts';

const name = 'kube-scheduler';

export function scheduler(topology: Topology): Part {
  const config = kubeconfigFile(name);
  const { kubernetes } = topology.cluster;
  const command = execStart(
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
      // As the controller manager: the first leader should not be late.
      'leader-elect-retry-period': '1s',
      'feature-gates': featureGateFlag(kubernetes.featureGates),
    },
    kubernetes.extraArgs.scheduler,
  );
  return {
    files: [
      trust('kubernetes'),
      trust('front-proxy'),
      trust('api-clients', ['kubernetes', 'nodes']),
      kubeconfig(name, apiServer(true, topology)),
    ],
    units: [
      {
        name: `${name}.service`,
        text: render(`units/${name}.service`, { command, sandbox: sandbox() }),
        inputs: [config, trustFile('kubernetes')],
        certificates: [name],
        serving: false,
      },
    ],
    assets: assets([name], topology.versions),
    certificates: [
      certificate({
        name,
        authority: 'kubernetes',
        cn: 'system:kube-scheduler',
        usages: ['client', 'server'],
        dns: ['localhost'],
        ip: ['127.0.0.1'],
      }),
    ],
  };
}
