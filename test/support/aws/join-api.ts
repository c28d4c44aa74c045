import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { type Authority, createAuthority } from '../../../src/pki/authorities.ts';
import { issue } from '../../../src/pki/issue.ts';
import { generateP256, publicKeyOf } from '../../../src/pki/keys.ts';
import { x509 } from '../../../src/pki/x509.ts';

/** A CertificateSigningRequest as it was sent. */
export interface SentRequest {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly request: string; readonly signerName: string; readonly usages: readonly string[] };
}

/** As much of an API server as a machine that joins talks to: CertificateSigningRequests by a bootstrap token, over TLS. */
export interface JoinApi {
  readonly url: string;
  readonly authority: Authority;
  readonly nodes: Authority;
  readonly requests: Map<string, SentRequest>;
  /** By name; what signs is `nodes`, as the controller manager does. */
  approve(name: string): Promise<void>;
  deny(name: string, message: string): void;
  /** The token that is good. */
  token: string;
  /** Whoever brings no token is let in: a kubelet with its certificate. */
  kubelets: boolean;
  close(): void;
}

export async function startJoinApi(): Promise<JoinApi> {
  const now = Date.now();
  const authority = await createAuthority({ name: 'kubernetes', uid: 'u', lifetimeDays: 1, now });
  const nodes = await createAuthority({ name: 'nodes', uid: 'u', lifetimeDays: 1, now });
  const key = await generateP256();
  const cert = await issue({
    publicKey: new x509.PublicKey(publicKeyOf(key)),
    authority,
    spec: { subject: { cn: 'kube-apiserver' }, sans: { dns: ['localhost'], ip: ['127.0.0.1'] }, usages: ['server'] },
    lifetimeMs: 3_600_000,
    now,
  });
  const requests = new Map<string, SentRequest>();
  const status = new Map<string, object>();
  const api = { token: 'abcdef.0123456789abcdef', kubelets: false };
  const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
  const server = createServer({ key, cert }, async (request, response) => {
    const body = await text(request);
    const answer = (code: number, content: object): void => {
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(content, null, 2));
    };
    const authorized = request.headers.authorization === `Bearer ${api.token}`;
    if (!authorized && !(api.kubelets && request.headers.authorization === undefined))
      return answer(401, { kind: 'Status', code: 401 });
    if (request.method === 'POST' && request.url === path) {
      const sent: SentRequest = JSON.parse(body);
      if (requests.has(sent.metadata.name)) return answer(409, { kind: 'Status', code: 409 });
      requests.set(sent.metadata.name, sent);
      return answer(201, sent);
    }
    const found = requests.get((request.url ?? '').slice(path.length + 1));
    if (!found) return answer(404, { kind: 'Status', code: 404 });
    const managedFields = [{ fieldsV1: { 'f:status': { 'f:certificate': {}, 'f:conditions': {} } } }];
    return answer(200, {
      ...found,
      metadata: { ...found.metadata, managedFields },
      status: status.get(found.metadata.name) ?? {},
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return Object.assign(api, {
    url: `https://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    authority,
    nodes,
    requests,
    async approve(name: string): Promise<void> {
      const sent = requests.get(name);
      if (!sent) throw new Error(`no request ${name}`);
      const csr = new x509.Pkcs10CertificateRequest(Buffer.from(sent.spec.request, 'base64').toString());
      const san = csr.extensions.find(({ type }) => type === '2.5.29.17');
      const certificate = await x509.X509CertificateGenerator.create({
        subject: csr.subjectName,
        issuer: new x509.X509Certificate(nodes.certPem).subjectName,
        publicKey: csr.publicKey,
        signingKey: await signer(nodes),
        signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
        extensions: san ? [san] : [],
      });
      const pem = `${certificate.toString('pem')}\n`;
      status.set(name, {
        conditions: [{ type: 'Approved', status: 'True', reason: 'Test', message: '' }],
        certificate: Buffer.from(pem).toString('base64'),
      });
    },
    deny(name: string, message: string): void {
      status.set(name, { conditions: [{ type: 'Denied', status: 'True', reason: 'Test', message }] });
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  });
}

const signer = async ({ keyPem }: Authority) => {
  const { signingKey } = await import('../../../src/pki/x509.ts');
  return signingKey(keyPem);
};
