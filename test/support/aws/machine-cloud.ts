import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

/**
 * What a machine on AWS asks: the metadata service (IMDSv2: no answer without a session's token) and S3 (GET, PUT, list), on one port of
 * loopback. Signatures (Signature Version 4) are verified as S3 does, from the request as it came.
 */
export interface MachineCloud {
  readonly url: string;
  /** By path below /latest/. */
  readonly metadata: Map<string, string>;
  /** By key. */
  readonly objects: Map<string, string>;
  /** `PUT key`, in order; with the status where it is not 200. */
  readonly asked: string[];
  /** Answers every request of S3 with this status instead. */
  fail: number | undefined;
  /** So many answers of S3 are cut half-way, or before their first byte where they have none. */
  cut: number;
  /** So many answers of S3 have a wrong byte. */
  spoilt: number;
  close(): void;
}

const bucket = 'store';
const credentials = { AccessKeyId: 'ASIATESTKEY', SecretAccessKey: 'secret/with+signs=', Token: 'session//token+==' };
const sessionToken = 'imds-session-token';

export async function startMachineCloud(): Promise<MachineCloud> {
  const metadata = new Map(
    Object.entries({
      'meta-data/instance-id': 'i-0123456789abcdef0',
      'meta-data/instance-type': 't3.large',
      'meta-data/local-ipv4': '172.30.0.70',
      'meta-data/placement/availability-zone': 'eu-central-1a',
      'meta-data/placement/region': 'eu-central-1',
      'meta-data/iam/security-credentials/': 'demo-worker',
      'meta-data/iam/security-credentials/demo-worker': JSON.stringify({ Code: 'Success', ...credentials }, null, 2),
    }),
  );
  const cloud = {
    metadata,
    objects: new Map<string, string>(),
    asked: [] as string[],
    fail: undefined as number | undefined,
    cut: 0,
    spoilt: 0,
  };

  const answer = (request: IncomingMessage, body: string): readonly [number, string] => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname.startsWith('/latest/')) return imds(request, url.pathname.slice('/latest/'.length));
    if (cloud.fail !== undefined) return [cloud.fail, '<Error/>'];
    const wrong = wrongSignature(request, body);
    if (wrong !== undefined) return [403, `<Error><Code>SignatureDoesNotMatch</Code><Message>${wrong}</Message></Error>`];
    if (!url.pathname.startsWith(`/${bucket}/`)) return [404, '<Error><Code>NoSuchBucket</Code></Error>'];
    const key = decodeURIComponent(url.pathname.slice(bucket.length + 2));
    if (url.searchParams.get('list-type') === '2') {
      const prefix = url.searchParams.get('prefix') ?? '';
      const keys = [...cloud.objects.keys()].filter((each) => each.startsWith(prefix));
      return [
        200,
        `<?xml?><ListBucketResult>${keys.map((each) => `<Contents><Key>${each}</Key></Contents>`).join('')}</ListBucketResult>`,
      ];
    }
    if (request.method === 'PUT') {
      cloud.objects.set(key, body);
      return [200, ''];
    }
    const found = cloud.objects.get(key);
    // As S3 answers who may not list.
    return found === undefined ? [403, '<Error><Code>AccessDenied</Code></Error>'] : [200, found];
  };
  const imds = (request: IncomingMessage, path: string): readonly [number, string] => {
    if (path === 'api/token')
      return request.method === 'PUT' && request.headers['x-aws-ec2-metadata-token-ttl-seconds']
        ? [200, sessionToken]
        : [400, ''];
    if (request.headers['x-aws-ec2-metadata-token'] !== sessionToken) return [401, ''];
    const found = metadata.get(path);
    return found === undefined ? [404, ''] : [200, found];
  };

  const server = createServer(async (request, response) => {
    request.setEncoding('latin1');
    const body = await text(request);
    const [status, answered] = answer(request, body);
    cloud.asked.push(`${request.method} ${request.url}${status === 200 ? '' : ` ${status}`}`);
    const bytes = Buffer.from(answered, 'latin1');
    if (cloud.spoilt > 0 && bytes.length > 0 && !request.url?.startsWith('/latest/')) {
      cloud.spoilt--;
      bytes[0] = (bytes[0] ?? 0) ^ 1;
    }
    if (cloud.cut <= 0 || request.url?.startsWith('/latest/')) return void response.writeHead(status).end(bytes);
    cloud.cut--;
    if (bytes.length === 0) return void request.socket.destroy();
    response.writeHead(status, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, bytes.length >> 1), () => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return Object.assign(cloud, {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  });
}

const hash = (data: string): string => createHash('sha256').update(Buffer.from(data, 'latin1')).digest('hex');
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();

/** AWS Signature Version 4 for S3: the path as it came, the query sorted, the headers that the request says it signed. */
function wrongSignature({ method = '', url = '', headers }: IncomingMessage, body: string): string | undefined {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    );
  if (!match) return `no signature: ${headers.authorization}`;
  const [, keyId, day = '', region = '', signed = '', signature = ''] = match;
  if (keyId !== credentials.AccessKeyId || headers['x-amz-security-token'] !== credentials.Token) return 'other credentials';
  const payload = headers['x-amz-content-sha256'];
  if (payload !== hash(body)) return `x-amz-content-sha256 is not the body's: ${String(payload)}`;
  const names = signed.split(';');
  for (const name of ['host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-security-token'])
    if (!names.includes(name)) return `${name} is not signed`;
  const [path = '', query = ''] = url.split('?');
  const canonical = [
    method,
    path,
    query.split('&').sort().join('&'),
    ...names.map((name) => `${name}:${String(headers[name]).trim()}`),
    '',
    signed,
    payload,
  ].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, hash(canonical)].join('\n');
  const key = [region, 's3', 'aws4_request'].reduce(hmac, hmac(`AWS4${credentials.SecretAccessKey}`, day));
  const expected = hmac(key, toSign);
  return timingSafeEqual(expected, Buffer.from(signature, 'hex')) ? undefined : `signed otherwise:\n${canonical}`;
}
