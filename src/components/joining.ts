import type { Topology } from '../cluster/topology.ts';
import { sha256 } from '../plan/canonical.ts';
import type { CertificateSpec } from './bundle.ts';
import { type KubeObject, manifest } from './manifest.ts';
import { identities } from './pki.ts';

/**
 * Where pools are groups whose machines join by themselves: an agent runs on the masters, and API servers take bootstrap tokens. Of the
 * provider and not of the pools there are just now: else the first pool that is added later would restart every API server.
 */
export const machinesJoin = (topology: Topology): boolean => topology.cluster.provider.aws !== undefined;

/** On a Node: its machine says that it is about to be taken away, and when. */
export const noticeAnnotation = 'slipway.dev/termination-notice';

/** The group of whoever holds a pool's token; Kubernetes wants this prefix of token groups. */
const groupPrefix = 'system:bootstrappers:slipway:';
export const joinGroup = (pool: string): string => `${groupPrefix}${pool}`;
export const poolOfGroups = (groups: readonly string[]): string | undefined => {
  const own = groups.filter((group) => group.startsWith(groupPrefix));
  return own.length === 1 ? own[0]?.slice(groupPrefix.length) : undefined;
};

/**
 * Two tokens a pool take turns. Their public IDs are fixed, so that the agent may be given these Secrets and no others; what is secret of a
 * token is new each time.
 */
export const tokenIds = (pool: string): readonly [string, string] => {
  const start = BigInt(`0x${sha256(`token of pool ${pool}`).slice(0, 12)}`)
    .toString(36)
    .padStart(5, '0')
    .slice(-5);
  return [`${start}a`, `${start}b`];
};
export const tokenSecret = (id: string): string => `bootstrap-token-${id}`;

/** What joining needs of RBAC. */
export function joinObjects(topology: Topology): readonly KubeObject[] {
  if (topology.groups.length === 0) return [];
  const pools = [...new Set(topology.groups.map(({ pool }) => pool))];
  const group = (name: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name });
  return manifest('addons/join-rbac.yaml', {
    agent: identities.agent,
    groups: JSON.stringify(pools.map((pool) => group(joinGroup(pool)))),
    // An empty list of names would mean all of them.
    tokens: JSON.stringify(['bootstrap-token-none', ...pools.flatMap((pool) => tokenIds(pool).map(tokenSecret))]),
  });
}

/** What a machine asks for, and what the agent expects: with `${NODE_NAME}` and `${NODE_IP}` for the machine's own. */
export interface JoinRequest {
  readonly name: string;
  readonly signer: string;
  readonly subject: { readonly cn: string; readonly o: readonly string[] };
  readonly sans: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  /** Kubernetes' words: `digital signature`, `client auth`. */
  readonly usages: readonly string[];
}
export const joinRequest = (spec: CertificateSpec): JoinRequest => ({
  name: spec.name,
  signer: signerOf(spec),
  subject: { cn: spec.subject.cn, o: spec.subject.o ?? [] },
  sans: spec.sans,
  usages: ['digital signature', ...spec.usages.map((usage) => `${usage} auth`)],
});

/** Kubernetes' signers, by what the certificate is for. Sources: Kubernetes, Certificate Signing Requests. */
function signerOf({ name, authority, subject, usages }: CertificateSpec): string {
  const server = usages.includes('server');
  const ofNode = authority === 'nodes' && subject.o?.includes('system:nodes') === true;
  if (ofNode) return server ? 'kubernetes.io/kubelet-serving' : 'kubernetes.io/kube-apiserver-client-kubelet';
  if (authority === 'kubernetes' && !server) return 'kubernetes.io/kube-apiserver-client';
  throw new Error(`a pool's machine cannot ask for the certificate ${name}`);
}

/**
 * How the machine asks for this certificate. All are signed by the authority `nodes`, the only one whose key is on the masters, by the
 * controller manager's signers: API servers trust it for clients, as they trust `kubernetes`.
 */
export function requestLine(spec: CertificateSpec): string {
  const { files } = spec;
  const [cert, key] = 'combined' in files ? [files.combined, files.combined] : [files.cert, files.key];
  const { signer, subject, sans, usages } = joinRequest(spec);
  const path = [...subject.o.map((organisation) => `/O=${organisation}`), `/CN=${subject.cn}`].join('');
  const names = [...sans.dns.map((name) => `DNS:${name}`), ...sans.ip.map((ip) => `IP:${ip}`)].join(',');
  const words = [spec.name, cert, key, spec.owner ?? 'root', signer].map(expanded);
  return ['"$each"', ...words, expanded(path), expanded(names), `'${JSON.stringify(usages)}'`].join(' ');
}

/** One word of sh in which `${NODE_NAME}` and `${NODE_IP}` stand for the machine's own. */
function expanded(text: string): string {
  const plain = text.replaceAll(/\$\{NODE_(NAME|IP)\}/g, '');
  if (!/^[\w=:,./-]*$/.test(plain)) throw new Error(`a request cannot carry ${JSON.stringify(text)}`);
  return `"${text}"`;
}
