import { createHash, createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { x509 } from '../pki/x509.ts';

/** A CertificateSigningRequest of a machine that joins, parsed. */
export interface JoinCsr {
  /** Of the Kubernetes object. */
  readonly name: string;
  /** `i-0abc…`: as its name says. That the sender is that instance is what must be shown. */
  readonly instance: string;
  readonly certificate: string;
  readonly username: string;
  /** Asked for by the node itself, by its kubelet's certificate: it has joined before. */
  readonly renewal: boolean;
  readonly groups: readonly string[];
  readonly signer: string;
  readonly usages: readonly string[];
  readonly subject: { readonly cn: string; readonly o: readonly string[] };
  readonly sans: { readonly dns: readonly string[]; readonly ip: readonly string[]; readonly others: number };
  /** SHA-256 of the public key (SPKI, DER), in hex. */
  readonly key: string;
  /** The sender holds the private key. */
  readonly proved: boolean;
  /** Milliseconds since the epoch. */
  readonly created: number;
}

const schema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), creationTimestamp: z.string() }),
  spec: z.looseObject({
    request: z.string(),
    signerName: z.string(),
    username: z.string().default(''),
    groups: z.array(z.string()).default([]),
    usages: z.array(z.string()).default([]),
  }),
  status: z.looseObject({ conditions: z.array(z.looseObject({ type: z.string() })).optional() }).optional(),
});

/** `slipway-INSTANCE-CERTIFICATE-DIGEST`, as templates/host/join names its requests. */
const namePattern = /^slipway-(i-[0-9a-f]{8,17})-([a-z][a-z0-9-]*)-([0-9a-f]{10})$/;

/** Undefined: it is not one of ours, or is decided already. Throws where it names itself ours and cannot be read. */
export async function parseCsr(object: unknown): Promise<JoinCsr | undefined> {
  const { metadata, spec, status } = schema.parse(object);
  const [, instance, certificate] = namePattern.exec(metadata.name) ?? [];
  if (instance === undefined || certificate === undefined) return undefined;
  const renewal = spec.username === `system:node:${instance}` && spec.groups.includes('system:nodes');
  if (!renewal && !spec.username.startsWith('system:bootstrap:')) return undefined;
  if ((status?.conditions ?? []).length > 0) return undefined;
  const csr = new x509.Pkcs10CertificateRequest(Buffer.from(spec.request, 'base64').toString());
  const names = csr.extensions.find(({ type }) => type === '2.5.29.17');
  const sans = names ? new x509.SubjectAlternativeNameExtension(names.rawData).names.items : [];
  const of = (type: string): readonly string[] =>
    sans
      .filter((san) => san.type === type)
      .map(({ value }) => value)
      .toSorted();
  const subject = csr.subjectName.toJSON().map((part) => Object.entries(part));
  const fields = subject.flat();
  const values = (field: string): readonly string[] => fields.filter(([name]) => name === field).flatMap(([, value]) => value);
  const [cn = ''] = values('CN');
  const der = createPublicKey({ key: Buffer.from(csr.publicKey.rawData), format: 'der', type: 'spki' });
  return {
    name: metadata.name,
    instance,
    certificate,
    username: spec.username,
    renewal,
    groups: spec.groups,
    signer: spec.signerName,
    usages: spec.usages.toSorted(),
    // Anything else in the subject, or a second name, fits no expectation.
    subject:
      fields.every(([name]) => name === 'CN' || name === 'O') && values('CN').length === 1
        ? { cn, o: values('O').toSorted() }
        : { cn: '', o: [] },
    sans: { dns: of('dns'), ip: of('ip'), others: sans.filter(({ type }) => type !== 'dns' && type !== 'ip').length },
    key: createHash('sha256')
      .update(der.export({ format: 'der', type: 'spki' }))
      .digest('hex'),
    proved: await csr.verify(),
    created: Date.parse(metadata.creationTimestamp),
  };
}
