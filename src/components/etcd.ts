import { machinesOf, type Topology } from '../cluster/topology.ts';
import type { BundleUnit, Probe } from './bundle.ts';
import { execStart } from './flags.ts';
import { type Part, textFile } from './part.ts';
import { assets, installed } from './paths.ts';
import { certFile, certificate, cipherSuites, keyFile, trust, trustFile } from './pki.ts';
import { sandbox } from './sandbox.ts';
import { render } from './template.ts';

/** The etcd clusters of a Slipway cluster, on the same machines: ports, volume and unit of each. */
export const etcdClusters = {
  main: { client: 2379, peer: 2380, metrics: 2390 },
  events: { client: 2381, peer: 2382, metrics: 2391 },
} as const;
export type EtcdCluster = keyof typeof etcdClusters;

export const etcdUnit = (cluster: EtcdCluster): string => (cluster === 'main' ? 'etcd.service' : 'etcd-events.service');
/** The volume. It holds the marker, bootstrap.env, and etcd's own `data`. */
export const etcdHome = (cluster: EtcdCluster): string => `/var/lib/etcd-${cluster}`;
export const etcdDataDirectory = (cluster: EtcdCluster): string => `${etcdHome(cluster)}/data`;
export const etcdClustersOf = (topology: Topology): readonly EtcdCluster[] =>
  topology.cluster.etcd.events ? ['main', 'events'] : ['main'];

/** Where clients reach a cluster: all its designed members. */
export const etcdEndpoints = (topology: Topology, cluster: EtcdCluster): readonly string[] =>
  machinesOf(topology, 'etcd').map((machine) => `https://${machine.address}:${etcdClusters[cluster].client}`);

const probeScript = '/etc/slipway/etcd-probe';
const certificates = ['etcd-server', 'etcd-peer'] as const;

export function etcd(topology: Topology): Part {
  const clusters = etcdClustersOf(topology);
  const usages = ['server', 'client'] as const;
  const own = { dns: ['${NODE_NAME}', 'localhost'], ip: ['${NODE_IP}', '127.0.0.1'] };
  return {
    files: [
      trust('etcd'),
      trust('etcd-peer'),
      textFile(
        probeScript,
        render('config/etcd-probe.sh', { ca: trustFile('etcd'), cert: certFile('etcd-probe'), key: keyFile('etcd-probe') }),
        '0755',
      ),
    ],
    units: clusters.map((cluster) => unit(topology, cluster)),
    assets: assets(['etcd', 'etcdctl', 'etcdutl'], topology.versions),
    certificates: [
      certificate({ name: 'etcd-server', authority: 'etcd', cn: '${NODE_NAME}', usages, ...own }),
      certificate({ name: 'etcd-peer', authority: 'etcd-peer', cn: '${NODE_NAME}', usages, ...own }),
      certificate({ name: 'etcd-probe', authority: 'etcd', cn: 'slipway:etcd-probe', usages: ['client'] }),
    ],
    probes: clusters.map(
      (cluster): Probe => ({ name: `etcd-${cluster}`, command: `${probeScript} ${etcdClusters[cluster].client}` }),
    ),
  };
}

function unit(topology: Topology, cluster: EtcdCluster): BundleUnit {
  const { client, peer, metrics } = etcdClusters[cluster];
  const command = execStart(installed('etcd', topology.versions), {
    name: '${NODE_NAME}',
    'data-dir': etcdDataDirectory(cluster),
    'listen-client-urls': `https://\${NODE_IP}:${client},https://127.0.0.1:${client}`,
    'advertise-client-urls': `https://\${NODE_IP}:${client}`,
    'listen-peer-urls': `https://\${NODE_IP}:${peer}`,
    'initial-advertise-peer-urls': `https://\${NODE_IP}:${peer}`,
    'listen-metrics-urls': `http://127.0.0.1:${metrics}`,
    'client-cert-auth': true,
    'trusted-ca-file': trustFile('etcd'),
    'cert-file': certFile('etcd-server'),
    'key-file': keyFile('etcd-server'),
    'peer-client-cert-auth': true,
    'peer-trusted-ca-file': trustFile('etcd-peer'),
    'peer-cert-file': certFile('etcd-peer'),
    'peer-key-file': keyFile('etcd-peer'),
    'tls-min-version': 'TLS1.2',
    'cipher-suites': cipherSuites.join(','),
    'quota-backend-bytes': topology.cluster.etcd.quotaMb * 1024 * 1024,
    // The API servers compact every 5 minutes; this is for the hours in which none runs.
    'auto-compaction-mode': 'periodic',
    'auto-compaction-retention': '1h',
    // A member that comes back must not make the others vote.
    'pre-vote': true,
    'log-level': 'info',
  });
  const name = etcdUnit(cluster);
  return {
    name,
    text: render('units/etcd.service', { cluster, home: etcdHome(cluster), command, sandbox: sandbox() }),
    // Certificates are read again for every connection; the trust files only at start.
    inputs: [trustFile('etcd'), trustFile('etcd-peer')],
    certificates,
    serving: true,
  };
}
