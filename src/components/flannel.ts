import type { Topology } from '../cluster/topology.ts';
import { execStart } from './flags.ts';
import { apiServer } from './host-env.ts';
import { kubeconfig, kubeconfigFile } from './kubeconfig.ts';
import { type Part, textFile } from './part.ts';
import { assets, installed } from './paths.ts';
import { certFile, certificate, identities, keyFile, trust, trustFile } from './pki.ts';
import { render } from './template.ts';

const name = 'flanneld';
const waitScript = '/etc/slipway/flanneld-wait';
const networkFile = '/etc/kubernetes/flannel-net.json';

/** The pod network between hosts: VXLAN, from the nodes' PodCIDRs. Within a host containerd's own template does it. */
export function flannel(topology: Topology, master: boolean): Part {
  if (topology.cluster.network.plugin !== 'flannel') return {};
  const command = execStart(installed(name, topology.versions), {
    'kube-subnet-mgr': true,
    'kubeconfig-file': kubeconfigFile(name),
    'net-config-path': networkFile,
    iface: '${NODE_IP}',
    'public-ip': '${NODE_IP}',
    'ip-masq': true,
  });
  return {
    files: [
      trust('kubernetes'),
      kubeconfig(name, apiServer(master, topology)),
      textFile(
        waitScript,
        render('config/flanneld-wait.sh', { ca: trustFile('kubernetes'), cert: certFile(name), key: keyFile(name) }),
        '0755',
      ),
      textFile(networkFile, render('config/flannel-net.json', { pods: topology.cluster.network.pods })),
    ],
    units: [
      {
        name: `${name}.service`,
        text: render(`units/${name}.service`, { command, wait: waitScript }),
        inputs: [kubeconfigFile(name), networkFile, trustFile('kubernetes')],
        certificates: [name],
        serving: false,
      },
    ],
    assets: assets([name], topology.versions),
    certificates: [certificate({ name, authority: 'kubernetes', cn: identities.flannel, usages: ['client'] })],
  };
}
