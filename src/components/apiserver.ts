import type { Versions } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import type { Cluster } from '../config/schema.ts';
import type { BundleFile } from './bundle.ts';
import { etcdClustersOf, etcdEndpoints } from './etcd.ts';
import { execStart, featureGateFlag } from './flags.ts';
import { isLocal, serviceAddress } from './host-env.ts';
import { machinesJoin } from './joining.ts';
import { type Part, textFile } from './part.ts';
import { assets, installed } from './paths.ts';
import { certFile, certificate, cipherSuites, identities, keyFile, trust, trustFile } from './pki.ts';
import { sandbox } from './sandbox.ts';
import { render } from './template.ts';

export const apiPort = 6443;
/** What tokens of service accounts name as their issuer: never changes, every token would be void. */
export const serviceAccountIssuer = 'https://kubernetes.default.svc.cluster.local';
export const serviceAccountKeyFile = '/etc/slipway/pki/service-account.key';
/** Derived from the key at each start. */
const serviceAccountPublicKeyFile = '/run/kubernetes/service-account.pub';

const configs = {
  audit: '/etc/kubernetes/audit-policy.yaml',
  authentication: '/etc/kubernetes/authentication.yaml',
  admission: '/etc/kubernetes/admission.yaml',
  encryption: '/etc/kubernetes/encryption.yaml',
} as const;

/**
 * Seconds for which a stopping API server still answers while the balancer takes it out (hard part 15): haproxy asks every half
 * second, a cloud's balancer takes 10 s and more.
 */
const leaveSeconds = (topology: Topology): number => (isLocal(topology) ? 2 : 20);
/** Seconds for which it then ends watches one by one. With 0, their connections are cut after 2 s in which it waits for them. */
const watchSeconds = (topology: Topology): number => (isLocal(topology) ? 2 : 10);

export function apiserver(topology: Topology): Part {
  const delay = leaveSeconds(topology);
  const { kubernetes } = topology.cluster;
  return {
    files: [
      trust('kubernetes'),
      trust('nodes'),
      trust('front-proxy'),
      trust('etcd'),
      // Users and programs come with certificates of `kubernetes`, kubelets with those of `nodes`.
      trust('api-clients', ['kubernetes', 'nodes']),
      ...secretFiles,
      textFile(configs.authentication, authentication(kubernetes, topology.versions)),
      textFile(configs.admission, render('config/admission.yaml', kubernetes.podSecurity)),
      ...(kubernetes.audit.enabled
        ? [textFile(configs.audit, render('config/audit-policy.yaml', { level: kubernetes.audit.level }))]
        : []),
    ],
    probes: [
      {
        name: 'apiserver',
        // Open to everyone, and asked of this very server: no balancer and no certificate stands between.
        command:
          "curl --silent --insecure --output /dev/null --write-out '%{http_code}' --max-time 2 https://127.0.0.1:6443/readyz",
      },
    ],
    units: [
      {
        name: 'kube-apiserver.service',
        text: render('units/kube-apiserver.service', {
          command: command(topology),
          key: serviceAccountKeyFile,
          publicKey: serviceAccountPublicKeyFile,
          delay,
          stop: delay + watchSeconds(topology) + 15,
          sandbox: sandbox(),
        }),
        // Certificates, the client CAs, authentication and encryption are read again when they change; these are not.
        inputs: [
          ...(kubernetes.audit.enabled ? [configs.audit] : []),
          configs.admission,
          trustFile('etcd'),
          trustFile('nodes'),
          serviceAccountKeyFile,
        ],
        certificates: ['apiserver', 'apiserver-etcd', 'apiserver-kubelet', 'front-proxy'],
        serving: true,
      },
    ],
    assets: assets(['kube-apiserver'], topology.versions),
    certificates: [
      certificate({
        name: 'apiserver',
        authority: 'kubernetes',
        cn: 'kube-apiserver',
        usages: ['server'],
        ...servingNames(topology),
      }),
      certificate({ name: 'apiserver-etcd', authority: 'etcd', cn: 'kube-apiserver', usages: ['client'] }),
      certificate({ name: 'apiserver-kubelet', authority: 'kubernetes', cn: identities.kubeletClient, usages: ['client'] }),
      certificate({ name: 'front-proxy', authority: 'front-proxy', cn: 'front-proxy-client', usages: ['client'] }),
    ],
  };
}

const secretFiles: readonly BundleFile[] = [
  { path: serviceAccountKeyFile, mode: '0600', content: { secret: 'service-account' } },
  { path: configs.encryption, mode: '0600', content: { secret: 'encryption-config' } },
];

function servingNames(topology: Topology): { readonly dns: readonly string[]; readonly ip: readonly string[] } {
  const extra = topology.cluster.kubernetes.api.extraSans;
  const isAddress = (san: string): boolean => /^[0-9.]+$|:/.test(san);
  const inCluster = 'kubernetes.default.svc.cluster.local'.split('.');
  return {
    dns: unique([
      '${NODE_NAME}',
      'localhost',
      topology.api.name,
      // kubernetes, kubernetes.default, kubernetes.default.svc, ...
      ...[1, 2, 3, inCluster.length].map((parts) => inCluster.slice(0, parts).join('.')),
      ...extra.filter((san) => !isAddress(san)),
    ]),
    ip: unique([
      '${NODE_IP}',
      // The master's own programs, and balancers that are published on loopback.
      '127.0.0.1',
      serviceAddress(topology, 1),
      ...(topology.api.address ? [topology.api.address] : []),
      ...extra.filter(isAddress),
    ]),
  };
}
const unique = (items: readonly string[]): readonly string[] => [...new Set(items)];

function command(topology: Topology): string {
  const { kubernetes, network, masters } = topology.cluster;
  const { audit, admission } = kubernetes;
  return execStart(
    installed('kube-apiserver', topology.versions),
    {
      'advertise-address': '${NODE_IP}',
      'secure-port': apiPort,
      'allow-privileged': true,
      'service-cluster-ip-range': network.services,
      profiling: false,

      // All members, never only one: else an API server is down with it.
      'etcd-servers': etcdEndpoints(topology, 'main').join(','),
      'etcd-servers-overrides': etcdClustersOf(topology).includes('events')
        ? `/events#${etcdEndpoints(topology, 'events').join(';')}`
        : undefined,
      'etcd-cafile': trustFile('etcd'),
      'etcd-certfile': certFile('apiserver-etcd'),
      'etcd-keyfile': keyFile('apiserver-etcd'),

      'tls-cert-file': certFile('apiserver'),
      'tls-private-key-file': keyFile('apiserver'),
      'tls-min-version': 'VersionTLS12',
      'tls-cipher-suites': cipherSuites.join(','),

      'client-ca-file': trustFile('api-clients'),
      'authentication-config': configs.authentication,
      // New machines of pools ask for their certificates by a token, which may do no more.
      'enable-bootstrap-token-auth': machinesJoin(topology) ? true : undefined,
      'authorization-mode': 'Node,RBAC',
      'enable-admission-plugins': ['NodeRestriction', ...admission.enable].join(','),
      'disable-admission-plugins': admission.disable.length > 0 ? admission.disable.join(',') : undefined,
      'admission-control-config-file': configs.admission,
      'encryption-provider-config': configs.encryption,
      'encryption-provider-config-automatic-reload': true,

      'service-account-issuer': serviceAccountIssuer,
      'service-account-jwks-uri': `${serviceAccountIssuer}/openid/v1/jwks`,
      'service-account-key-file': serviceAccountPublicKeyFile,
      'service-account-signing-key-file': serviceAccountKeyFile,

      'kubelet-certificate-authority': trustFile('nodes'),
      'kubelet-client-certificate': certFile('apiserver-kubelet'),
      'kubelet-client-key': keyFile('apiserver-kubelet'),
      // Node names are in no DNS.
      'kubelet-preferred-address-types': 'InternalIP,Hostname',

      'requestheader-client-ca-file': trustFile('front-proxy'),
      'requestheader-allowed-names': 'front-proxy-client',
      'requestheader-username-headers': 'X-Remote-User',
      'requestheader-group-headers': 'X-Remote-Group',
      'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
      'proxy-client-cert-file': certFile('front-proxy'),
      'proxy-client-key-file': keyFile('front-proxy'),
      // Masters are in the pod network: straight to a ready pod, without waiting for kube-proxy.
      'enable-aggregator-routing': true,

      'shutdown-delay-duration': `${leaveSeconds(topology)}s`,
      'shutdown-watch-termination-grace-period': `${watchSeconds(topology)}s`,
      'shutdown-send-retry-after': true,
      // Connections through the balancer stay where they are for ever, so that a restarted API server would get none.
      'goaway-chance': masters.count > 1 ? 0.001 : undefined,

      'audit-policy-file': audit.enabled ? configs.audit : undefined,
      'audit-log-path': audit.enabled ? '/var/log/kubernetes/audit.log' : undefined,
      'audit-log-maxsize': audit.enabled ? audit.maxSizeMb : undefined,
      'audit-log-maxbackup': audit.enabled ? audit.maxBackups : undefined,
      'feature-gates': featureGateFlag(kubernetes.featureGates),
    },
    kubernetes.extraArgs.apiserver,
  );
}

/** Structured authentication: v1 since Kubernetes 1.34. */
function authentication(kubernetes: Cluster['kubernetes'], versions: Versions): string {
  const { oidc } = kubernetes;
  const claim = (name: string, prefix: string) => ({ claim: name, prefix });
  const jwt = oidc
    ? [
        {
          issuer: { url: oidc.issuerUrl, audiences: [oidc.clientId] },
          claimMappings: {
            // As upstream's --oidc-username-prefix: other claims than email are prefixed by the issuer, so that they cannot pose as ours.
            username: claim(oidc.usernameClaim, oidc.usernameClaim === 'email' ? '' : `${oidc.issuerUrl}#`),
            ...(oidc.groupsClaim ? { groups: claim(oidc.groupsClaim, '') } : {}),
          },
        },
      ]
    : [];
  const minor = Number(versions.kubernetes.split('.')[1]);
  return render('config/authentication.yaml', { version: minor >= 34 ? 'v1' : 'v1beta1', jwt: JSON.stringify(jwt) });
}
