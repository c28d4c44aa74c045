import { execFile } from 'node:child_process';
import { createSign, randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { Account } from '../moto.ts';
import type { Instance } from './instances.ts';

export interface MetadataOptions {
  readonly host: string;
  readonly region: string;
  readonly account: Account;
  /** What signs identity documents: PEM files. */
  readonly signer: { readonly key: string; readonly keyFile: string; readonly certificateFile: string };
  /** Whose request this is, by the address it comes from. */
  instanceAt(address: string): Instance | undefined;
  userData(instance: string): Promise<string>;
  /** When AWS takes this spot machine back; undefined: nobody has said so. */
  takenBack(instance: string): Date | undefined;
}

/** The instance metadata service, version 2 only: no answer without a session's token. One server for all, who ask from their own addresses. */
export async function serveMetadata(options: MetadataOptions): Promise<{ readonly port: number; close(): void }> {
  const sessions = new Set<string>();
  const server: Server = createServer((request, response) => {
    const answer = (status: number, body = '', headers: Readonly<Record<string, string>> = {}): void => {
      response.writeHead(status, { 'content-type': 'text/plain', ...headers });
      response.end(body);
    };
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://metadata').pathname).replace(/^\/latest\//, '');
    const instance = options.instanceAt((request.socket.remoteAddress ?? '').replace(/^::ffff:/, ''));
    if (!instance) return answer(404);
    if (request.method === 'PUT' && path === 'api/token') {
      const ttl = request.headers['x-aws-ec2-metadata-token-ttl-seconds'];
      if (typeof ttl !== 'string') return answer(400);
      const token = randomUUID();
      sessions.add(token);
      return answer(200, token, { 'x-aws-ec2-metadata-token-ttl-seconds': ttl });
    }
    if (!sessions.has(String(request.headers['x-aws-ec2-metadata-token'] ?? ''))) return answer(401);
    void read(path, instance, options).then(
      (body) => (body === undefined ? answer(404) : answer(200, body)),
      (error: unknown) => answer(500, String(error)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, options.host, resolve));
  const at = server.address();
  return {
    port: typeof at === 'object' && at ? at.port : 0,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function read(
  path: string,
  instance: Instance,
  { region, account, signer, userData, takenBack }: MetadataOptions,
): Promise<string | undefined> {
  const document = JSON.stringify(
    {
      accountId: account.id,
      architecture: 'x86_64',
      availabilityZone: instance.zone,
      imageId: instance.image,
      instanceId: instance.id,
      instanceType: instance.type,
      pendingTime: instance.launched.replace(/\.\d+Z$/, 'Z'),
      privateIp: instance.address,
      region,
      version: '2017-09-30',
    },
    null,
    2,
  );
  if (path === 'meta-data/spot/instance-action') {
    const time = takenBack(instance.id)
      ?.toISOString()
      .replace(/\.\d+Z$/, 'Z');
    return time && JSON.stringify({ action: 'terminate', time });
  }
  if (path === 'user-data') return userData(instance.id);
  if (path.startsWith('meta-data/tags/instance/')) return instance.tags[path.slice('meta-data/tags/instance/'.length)];
  if (path === 'meta-data/tags/instance') return Object.keys(instance.tags).join('\n');
  if (path === 'meta-data/iam/security-credentials/') return instance.profile;
  if (path === `meta-data/iam/security-credentials/${instance.profile}`)
    return JSON.stringify(
      {
        Code: 'Success',
        Type: 'AWS-HMAC',
        AccessKeyId: account.credentials.accessKeyId,
        SecretAccessKey: account.credentials.secretAccessKey,
        Token: 'session',
        LastUpdated: new Date().toISOString(),
        Expiration: new Date(Date.now() + 6 * 3_600_000).toISOString(),
      },
      null,
      2,
    );
  if (path === 'dynamic/instance-identity/rsa2048') return pkcs7(document, signer);
  const values: Readonly<Record<string, string>> = {
    'meta-data/instance-id': instance.id,
    'meta-data/instance-type': instance.type,
    'meta-data/local-ipv4': instance.address,
    'meta-data/ami-id': instance.image,
    'meta-data/mac': '02:00:00:00:00:01',
    'meta-data/placement/availability-zone': instance.zone,
    'meta-data/placement/region': region,
    'meta-data/services/domain': 'amazonaws.com',
    'dynamic/instance-identity/document': document,
    'dynamic/instance-identity/signature': createSign('sha256').update(document).sign(signer.key, 'base64'),
  };
  return values[path];
}

/** PKCS #7 as AWS gives it: base64, without the lines around it. */
function pkcs7(document: string, { keyFile, certificateFile }: MetadataOptions['signer']): Promise<string> {
  const words = [
    'smime',
    '-sign',
    '-nodetach',
    '-binary',
    '-nocerts',
    '-md',
    'sha256',
    '-signer',
    certificateFile,
    '-inkey',
    keyFile,
    '-outform',
    'PEM',
  ];
  return new Promise((resolve, reject) => {
    const child = execFile('openssl', words, (error, stdout) => {
      if (error) reject(error);
      else
        resolve(
          stdout
            .split('\n')
            .filter((line) => !line.startsWith('-----'))
            .join('\n')
            .trim(),
        );
    });
    child.stdin?.end(document);
  });
}
