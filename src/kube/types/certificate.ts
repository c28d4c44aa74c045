import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { CertificateSpec } from '../../components/bundle.ts';
import { type CertificateState, inspectCertificate } from '../../pki/inspect.ts';
import { authoritySecret } from '../../pki/names.ts';
import { fields } from '../../plan/fields.ts';
import {
  type Address,
  addressOf,
  type Context,
  nameOf,
  type Observation,
  type Ref,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import type { KubeClients } from '../clients.ts';
import { patienceMs } from '../connect.ts';
import { type KubeObject, marks } from '../objects.ts';

export interface KubeCertificateProps {
  readonly authority: { readonly name: string; readonly certificate: Ref<string> };
  /** The issuer's key ID: what is compared. */
  readonly issuer: Ref<string>;
  readonly subject: { readonly cn: string; readonly o: readonly string[] };
  readonly sans: CertificateSpec['sans'];
  readonly usages: CertificateSpec['usages'];
  readonly lifetimeDays: number;
  readonly state: CertificateState | 'unfit';
}
export interface KubeCertificateOutputs {
  readonly namespace: string;
  readonly name: string;
}
type Seen = Observation<KubeCertificateProps, KubeCertificateOutputs>;

/** A certificate with its key in a Secret of type kubernetes.io/tls, for pods that serve: `kube.certificate/kube-system.metrics-server-tls`. */
export const kubeCertificate: ResourceType<KubeCertificateProps, KubeCertificateOutputs, KubeClients> = {
  name: 'kube.certificate',
  shrink: 'now',
  async observe({ clients, signal }) {
    if ((await clients.state()) === 'absent') return new Map();
    const api = await clients.api({ signal });
    const secrets = await api.list('v1', 'Secret', { labelSelector: marks.certificate, signal });
    return new Map(secrets.map((secret) => observed(secret, clients.now())));
  },
  diff: fields<KubeCertificateProps>({
    authority: 'ignore',
    // The Secret is mounted: whoever uses it reads it again.
    issuer: 'none',
    subject: 'none',
    sans: 'none',
    usages: 'none',
    lifetimeDays: 'ignore',
    state: 'none',
  }),
  create: (desired, ctx) => make(desired, ctx),
  update: (desired, _outputs, ctx) => make(desired, ctx),
  async delete({ namespace, name }, { clients, signal }) {
    const api = await clients.api({ waitMs: patienceMs, signal });
    await api.delete({ apiVersion: 'v1', kind: 'Secret', namespace, name }, signal);
  },
};

const dataSchema = z.looseObject({
  data: z.object({ 'tls.crt': z.string().default(''), 'tls.key': z.string().default('') }).prefault({}),
});

function observed(secret: KubeObject, now: number): readonly [Address, Seen] {
  const { name, namespace = '' } = secret.metadata;
  const { data } = dataSchema.parse(secret);
  const [certPem, keyPem] = [decode(data['tls.crt']), decode(data['tls.key'])];
  const seen = inspected(certPem, keyPem, now);
  return [
    addressOf('kube.certificate', `${namespace}.${name}`),
    {
      state: 'present',
      props: {
        authority: { name: '', certificate: '' },
        issuer: seen?.issuerKeyId ?? '',
        subject: seen?.subject ?? { cn: '', o: [] },
        sans: seen?.sans ?? { dns: [], ip: [] },
        usages: seen?.usages ?? [],
        lifetimeDays: 0,
        state: seen?.state ?? 'unfit',
      },
      outputs: { namespace, name },
    },
  ];
}

/** Undefined: it is no certificate, or not of the key beside it. */
function inspected(certPem: string, keyPem: string, now: number) {
  try {
    const facts = inspectCertificate(certPem, now);
    const own = createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'pem' });
    return own === new X509Certificate(certPem).publicKey.export({ type: 'spki', format: 'pem' }) ? facts : undefined;
  } catch {
    return undefined;
  }
}

async function make(desired: Resolved<KubeCertificateProps>, ctx: Context<KubeClients>): Promise<KubeCertificateOutputs> {
  const { clients, signal, secrets } = ctx;
  const full = nameOf(ctx.address);
  const [namespace, name] = [full.slice(0, full.indexOf('.')), full.slice(full.indexOf('.') + 1)];
  const [{ issue }, { generateP256, publicKeyOf }, { x509 }, authorityKey, api] = await Promise.all([
    import('../../pki/issue.ts'),
    import('../../pki/keys.ts'),
    import('../../pki/x509.ts'),
    secrets.reveal({ secret: authoritySecret(desired.authority.name) }),
    clients.api({ waitMs: patienceMs, signal }),
  ]);
  const keyPem = await generateP256();
  const certPem = await issue({
    publicKey: new x509.PublicKey(publicKeyOf(keyPem)),
    authority: { certPem: desired.authority.certificate, keyPem: new TextDecoder().decode(authorityKey) },
    spec: desired,
    lifetimeMs: desired.lifetimeDays * 86_400_000,
    now: clients.now(),
  });
  await api.apply(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name, namespace, labels: { [marks.certificate]: 'true' } },
      data: { 'tls.crt': encode(certPem), 'tls.key': encode(keyPem) },
    },
    { signal },
  );
  return { namespace, name };
}

const encode = (text: string): string => Buffer.from(text).toString('base64');
const decode = (text: string): string => Buffer.from(text, 'base64').toString();
