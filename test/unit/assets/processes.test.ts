import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withLock } from '../../../src/assets/lock.ts';
import { type AssetServer, sha256, startAssetServer } from '../../support/asset-server.ts';

const child = fileURLToPath(new URL('../../support/asset-child.ts', import.meta.url));
const url = '/release/v1.36.3/bin/linux/amd64/kubectl';
const program = Buffer.alloc(200_000, 'a program ');
const never = new AbortController().signal;

let server: AssetServer;
let directory: string;

beforeEach(async () => {
  server = await startAssetServer();
  directory = await mkdtemp(join(tmpdir(), 'slipway-processes-'));
  server.files.set(url, program);
  server.files.set(`${url}.sha256`, Buffer.from(sha256(program)));
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const start = (): ChildProcess =>
  spawn(process.execPath, [child, directory, server.url], { stdio: ['ignore', 'pipe', 'inherit'] });

async function outputOf(process: ChildProcess): Promise<string> {
  let output = '';
  process.stdout?.on('data', (chunk) => {
    output += String(chunk);
  });
  await once(process, 'close');
  return output.trim().split('\n').at(-1) ?? '';
}

test('processes that want the same asset fetch it once', async () => {
  server.faults.set(url, { trickle: 5_000 });
  const outputs = await Promise.all([start(), start(), start()].map(outputOf));
  expect(outputs).toEqual([sha256(program), sha256(program), sha256(program)]);
  expect(server.requests.filter((request) => request.startsWith(`GET ${url}`) && !request.includes('.sha256'))).toHaveLength(1);
});

test('a process killed while it fetches holds up nobody, and the next one goes on with its bytes', async () => {
  server.faults.set(url, { trickle: 1_000, times: 1 });
  const first = start();
  for (let lines = 0; lines < 10; ) lines += String(await once(first.stdout ?? first, 'data')).split('\n').length;
  first.kill('SIGKILL');
  await once(first, 'close');
  expect(await readdir(join(directory, '.locks'))).toHaveLength(1);
  expect(await outputOf(start())).toBe(sha256(program));
  expect(server.requests.at(-1)).toMatch(/bytes=[1-9]\d*-$/);
  expect(await readdir(join(directory, '.locks'))).toEqual([]);
  expect(await readdir(join(directory, '.work'))).toEqual([]);
});

test('a lock of a process id that another process has now is taken over', async () => {
  await mkdir(join(directory, 'locks'));
  const file = join(directory, 'locks', 'one');
  await writeFile(file, JSON.stringify({ pid: process.ppid, start: '1' }));
  expect(
    await withLock(
      file,
      never,
      () => expect.fail('waited'),
      async () => 'done',
    ),
  ).toBe('done');
});

test('many that break the same stale lock are one at a time', async () => {
  const file = join(directory, 'locks', 'one');
  await mkdir(join(directory, 'locks'));
  await writeFile(file, 'not even JSON');
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setTimeout(resolve, 5));
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, () => withLock(file, never, () => undefined, work)));
  expect(most).toBe(1);
});

test('waiting for a lock ends with an abort', async () => {
  const file = join(directory, 'locks', 'one');
  const stop = new AbortController();
  await withLock(
    file,
    never,
    () => undefined,
    async () => {
      const waiting = withLock(
        file,
        stop.signal,
        () => stop.abort(new Error('enough')),
        async () => 'never',
      );
      await expect(waiting).rejects.toThrow();
    },
  );
});
