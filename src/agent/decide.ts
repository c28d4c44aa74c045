import { z } from 'zod';
import { poolOfGroups } from '../components/joining.ts';
import type { Instance } from './cloud.ts';
import type { AgentConfig, ExpectedRequest } from './config.ts';
import type { JoinCsr } from './request.ts';

/** What is known of the sender when a request is decided. */
export interface Evidence {
  readonly instance: Instance | undefined;
  readonly proof: Proof | undefined;
  /** A Node of its name is there, and Ready: somebody has the name. */
  readonly nameTaken: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}
export interface Proof {
  readonly document: IdentityDocument;
  /** The cloud has signed the document. */
  readonly genuine: boolean;
  /** Digests of its public keys, by certificate. */
  readonly keys: Readonly<Record<string, string>>;
}
export type Decision =
  | { readonly kind: 'approve' }
  | { readonly kind: 'deny'; readonly why: string }
  /** Not yet: the cloud shows what is new only after a while. */
  | { readonly kind: 'wait'; readonly why: string };

const documentSchema = z.looseObject({
  instanceId: z.string(),
  accountId: z.string(),
  region: z.string(),
  privateIp: z.string().nullish(),
});
export type IdentityDocument = z.infer<typeof documentSchema>;
const proofSchema = z.object({ document: z.base64(), signature: z.string(), keys: z.record(z.string(), z.string()) });

/** What a machine wrote, before its signature was looked at. Undefined: it cannot be read. */
export function parseProof(
  text: string,
):
  | { readonly bytes: Uint8Array; readonly document: IdentityDocument; readonly signature: string; readonly keys: Proof['keys'] }
  | undefined {
  try {
    const { document, signature, keys } = proofSchema.parse(JSON.parse(text));
    const bytes = Buffer.from(document, 'base64');
    return { bytes, document: documentSchema.parse(JSON.parse(bytes.toString())), signature, keys };
  } catch {
    return undefined;
  }
}

/** A machine joins when it boots: a token that leaks later is of no use to one that was made before. */
const newForMs = 60 * 60_000;
/** How long the cloud may not know a new instance, and the store not have its proof. */
const visibleWithinMs = 5 * 60_000;

/**
 * Hard part 19. Approves only what an instance of this cluster's own pool asks for itself: signed by AWS, shown by EC2, young, with the keys
 * that it has published under its own identity, for exactly the names that are its own. Pure.
 */
export function decide(csr: JoinCsr, evidence: Evidence, config: AgentConfig): Decision {
  const { instance, proof, now } = evidence;
  const patient = now - csr.created < visibleWithinMs;
  const notYet = (why: string): Decision => (patient ? { kind: 'wait', why } : { kind: 'deny', why });
  const deny = (why: string): Decision => ({ kind: 'deny', why });

  const pool = csr.renewal ? instance?.pool : poolOfGroups(csr.groups);
  if (csr.renewal && !instance) return notYet(`EC2 shows no instance ${csr.instance}`);
  const settings = pool === undefined ? undefined : config.pools[pool];
  if (pool === undefined || !settings) return deny(`${csr.renewal ? 'its instance' : 'its token'} is of no pool of this cluster`);
  const expected = settings.requests.find(({ name }) => name === csr.certificate);
  if (!expected) return deny(`machines of pool ${pool} need no certificate ${csr.certificate}`);
  if (!csr.proved) return deny('it is not signed by its own key');

  if (!instance) return notYet(`EC2 shows no instance ${csr.instance}`);
  if (instance.cluster !== config.cluster) return deny(`instance ${instance.id} is not of this cluster`);
  if (instance.pool !== pool)
    return deny(`instance ${instance.id} is of pool ${instance.pool ?? 'none'}, and its token of pool ${pool}`);
  if (instance.state !== 'pending' && instance.state !== 'running') return deny(`instance ${instance.id} is ${instance.state}`);

  const wrong = unlike(csr, expected, instance);
  if (wrong !== undefined) return deny(wrong);
  // Its kubelet's certificate has proved who it is; for its own names it may have what it had.
  if (csr.renewal) return { kind: 'approve' };

  if (now - instance.launched > newForMs) return deny(`instance ${instance.id} was launched more than an hour ago`);
  if (evidence.nameTaken) return deny(`a node ${instance.id} is there and Ready`);

  if (!proof) return notYet('it has not proved who it is');
  const { document } = proof;
  if (!proof.genuine) return deny('its identity document is not signed by AWS');
  if (document.instanceId !== instance.id || document.region !== config.region || document.accountId !== instance.account)
    return deny(`its identity document is that of ${document.instanceId} in ${document.region}, account ${document.accountId}`);
  if (document.privateIp != null && document.privateIp !== instance.address)
    return deny(`its identity document says ${document.privateIp}, and EC2 ${instance.address}`);
  // The proof may be of a boot before this one, and is being written anew.
  if (proof.keys[csr.certificate] !== csr.key) return notYet('its key is not the one that the instance has published');
  return { kind: 'approve' };
}

/** Which part of the request is not what this machine may have. */
function unlike(csr: JoinCsr, expected: ExpectedRequest, instance: Instance): string | undefined {
  const own = (text: string): string => text.replaceAll('${NODE_NAME}', instance.id).replaceAll('${NODE_IP}', instance.address);
  const same = (a: readonly string[], b: readonly string[]): boolean =>
    a.length === b.length && a.toSorted().every((item, index) => item === b.toSorted()[index]);
  if (csr.signer !== expected.signer) return `it asks ${csr.signer}, not ${expected.signer}`;
  if (csr.subject.cn !== own(expected.subject.cn) || !same(csr.subject.o, expected.subject.o))
    return `it asks for the subject ${csr.subject.cn} of ${csr.subject.o.join(', ') || 'nobody'}`;
  if (csr.sans.others > 0 || !same(csr.sans.dns, expected.sans.dns.map(own)) || !same(csr.sans.ip, expected.sans.ip.map(own)))
    return `it asks for the names ${[...csr.sans.dns, ...csr.sans.ip].join(', ') || 'none'}`;
  if (!same(csr.usages, expected.usages)) return `it asks for the usages ${csr.usages.join(', ')}`;
  return undefined;
}
