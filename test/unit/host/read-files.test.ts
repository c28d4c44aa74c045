import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readFiles } from '../../../src/host/read-files.ts';

/** The real script, run by the sh that is here. */
const host = {
  name: 'here',
  exec: (command: string, { stdin }: { readonly stdin?: unknown } = {}) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const child = spawn('sh', ['-c', command]);
      const said = { stdout: '', stderr: '' };
      child.stdout.on('data', (chunk) => (said.stdout += String(chunk)));
      child.stderr.on('data', (chunk) => (said.stderr += String(chunk)));
      child.on('close', (code) => resolve({ code: code ?? 255, ...said }));
      child.stdin.end(String(stdin));
    }),
};
const directory = mkdtempSync(join(tmpdir(), 'slipway-read-'));
afterAll(() => rmSync(directory, { recursive: true }));
const signal = new AbortController().signal;

it('texts are read from a host in one call, whatever they hold', async () => {
  const at = (name: string) => join(directory, name);
  const texts = { plain: 'one\ntwo\n', 'no newline': 'ünï ▲', "it's": '--- end\n text none\n', empty: '' };
  for (const [name, text] of Object.entries(texts)) writeFileSync(at(name), text);
  writeFileSync(at('binary'), Buffer.from([0, 1, 2, 255]));
  writeFileSync(at('large'), 'x'.repeat(1_048_577));
  const paths = [...Object.keys(texts), 'binary', 'large', 'missing'].map(at);
  expect(await readFiles(host, paths, signal)).toEqual(new Map(Object.entries(texts).map(([name, text]) => [at(name), text])));
});
it('nothing is asked when nothing is wanted', async () => {
  const nobody = { name: 'nobody', exec: () => Promise.reject(new Error('asked')) };
  expect(await readFiles(nobody, [], signal)).toEqual(new Map());
});
it('an answer that was cut is none', async () => {
  const cut = { name: 'cut', exec: async () => ({ code: 0, stdout: 'text /a\n YQ==\n', stderr: '' }) };
  await expect(readFiles(cut, ['/a'], signal)).rejects.toThrow('cut');
});
