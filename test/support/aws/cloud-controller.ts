import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, createReadStream, createWriteStream, existsSync, mkdirSync, renameSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import { assetCache } from '../local-etcd.ts';

/** The program of an image archive that the asset cache has: `FILE` of its one layer, unpacked into `directory`. */
export async function programOf(archive: string, directory: string, name: string): Promise<string> {
  const target = join(directory, name);
  if (existsSync(target)) return target;
  mkdirSync(directory, { recursive: true });
  const outer = extract();
  const reading = (async () => {
    for await (const entry of outer) {
      // The layer is the only large blob.
      if ((entry.header.size ?? 0) < 10_000_000) {
        entry.resume();
        continue;
      }
      const layer = extract();
      const inner = (async () => {
        for await (const file of layer) {
          if (file.header.name === name) await pipeline(file, createWriteStream(`${target}.new`));
          else file.resume();
        }
      })();
      await Promise.all([pipeline(entry, layer), inner]);
    }
  })();
  await Promise.all([pipeline(createReadStream(archive), outer), reading]);
  chmodSync(`${target}.new`, 0o755);
  renameSync(`${target}.new`, target);
  return target;
}

export const cloudControllerArchive = join(assetCache, 'images/aws-cloud-controller-1.36.1.tar');

/** Instance metadata with session tokens (IMDSv2), as far as the cloud controller asks. */
export async function startMetadata(instance: {
  readonly id: string;
  readonly region: string;
}): Promise<{ readonly url: string; close(): void }> {
  const answers: Readonly<Record<string, string>> = {
    '/latest/meta-data/instance-id': instance.id,
    '/latest/dynamic/instance-identity/document': JSON.stringify({ instanceId: instance.id, region: instance.region }),
  };
  const server: Server = createServer((request, response) => {
    const path = (request.url ?? '').replace(/\/$/, '');
    if (request.method === 'PUT' && path === '/latest/api/token')
      return void response.setHeader('x-aws-ec2-metadata-token-ttl-seconds', '21600').end('token');
    const answer = request.headers['x-aws-ec2-metadata-token'] === 'token' ? answers[path] : undefined;
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(answer ?? '');
  });
  return { url: await listen(server), close: () => void server.close() };
}

/**
 * In front of moto: EC2 in a region without DescribeInstanceTopology. moto has not that action and answers 500, which the controller tries
 * again for seconds, node by node; AWS answers with this refusal, or with the topology of large instances. `asked`: actions as IAM names them.
 */
export async function startWithoutTopology(
  moto: string,
): Promise<{ readonly url: string; readonly asked: ReadonlySet<string>; close(): void }> {
  const asked = new Set<string>();
  const server = createServer((request, response) => {
    void (async () => {
      const body = Buffer.concat(await Array.fromAsync(request));
      const service = /\/([a-z0-9]+)\/aws4_request/.exec(request.headers.authorization ?? '')?.[1];
      asked.add(`${service}:${new URLSearchParams(body.toString()).get('Action')}`);
      if (body.includes('Action=DescribeInstanceTopology')) {
        const error = '<Error><Code>UnsupportedOperation</Code><Message>not in this region</Message></Error>';
        response.writeHead(400, { 'content-type': 'text/xml' });
        return response.end(`<Response><Errors>${error}</Errors><RequestID>1</RequestID></Response>`);
      }
      const { host: _, connection: __, 'content-length': ___, ...headers } = request.headers;
      const plain = Object.entries(headers).flatMap(([name, value]) =>
        typeof value === 'string' ? [[name, value] as const] : [],
      );
      const answer = await fetch(`${moto}${request.url}`, {
        method: request.method ?? 'GET',
        headers: plain.map(([n, v]) => [n, v]),
        body,
      });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/xml' });
      response.end(Buffer.from(await answer.arrayBuffer()));
    })().catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  return { url: await listen(server), asked, close: () => void server.close() };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
}

/** The program, with what it says kept for messages. */
export function startProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): { readonly said: () => string; readonly child: ChildProcess; close(): void } {
  let said = '';
  const child = spawn(program, args, { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-200_000);
    });
  }
  return { said: () => said, child, close: () => void child.kill('SIGKILL') };
}
