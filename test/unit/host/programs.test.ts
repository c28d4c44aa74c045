import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import type { Host } from '../../../src/host/host.ts';
import { programsWell } from '../../../src/host/programs.ts';

/** A host whose n-th question ends as this shell text says: $n is that number, $url what is asked. */
function hostWhere(answer: string): Pick<Host, 'name' | 'exec'> {
  const directory = mkdtempSync(join(tmpdir(), 'slipway-programs-'));
  const program = (name: string, body: string) => writeFileSync(join(directory, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  program('curl', `for url; do :; done; read -r n <'${directory}/n'; n=$((n + 1)); echo $n >'${directory}/n'\n${answer}`);
  program('journalctl', 'echo "words of $2"');
  writeFileSync(join(directory, 'n'), '0\n');
  return {
    name: 'master-a',
    async exec(command) {
      const child = spawn('sh', ['-c', command], { env: { ...process.env, PATH: `${directory}:${process.env.PATH}` } });
      const [stdout, stderr, code] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        new Promise<number>((ended) => child.on('close', (status) => ended(status ?? 255))),
      ]);
      return { code, stdout, stderr };
    },
  };
}
const units = ['etcd.service', 'kube-controller-manager.service', 'kube-scheduler.service', 'kube-proxy.service'];
const ask = (answer: string, of: readonly string[] = units, timeoutMs = 20_000) =>
  programsWell(hostWhere(answer), of, { timeoutMs, signal: new AbortController().signal });

test('who says nothing of itself is not asked; who is not well yet is asked again', async () => {
  await ask('exit 7', ['etcd.service']);
  await ask('[ $n -gt 4 ] && printf "ok\\n200" || { printf "\\n000"; exit 7; }');
});

test('who is not well in time is named, with its last words, and nobody else', async () => {
  const answer = `case $url in *10259*) printf 'leader election lost\\n500';; *) printf 'ok\\n200';; esac`;
  await expect(ask(answer, units, 1000)).rejects.toMatchObject({
    problem: { where: 'master-a', why: 'kube-scheduler.service is not well\nwords of kube-scheduler.service' },
  });
});
