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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return { url: `http://127.0.0.1:${port}`, close: () => void server.close() };
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
