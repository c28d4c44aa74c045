import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import type { Host } from '../../../src/host/host.ts';
import { settleUnits } from '../../../src/host/settle.ts';

/** A host whose systemctl answers its n-th question about a unit with `show`, a shell text in which $n is that number. */
function hostWhere(show: string): Pick<Host, 'name' | 'exec'> {
  const directory = mkdtempSync(join(tmpdir(), 'slipway-settle-'));
  const program = (name: string, body: string) => writeFileSync(join(directory, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  program(
    'systemctl',
    `case "$*" in
      *ExecMainStart*) awk '{ printf "%.0f\\n", ($1 - 5) * 1e6 }' /proc/uptime; exit;;
      *SubState*) printf 'activating\\nauto-restart\\nexit-code\\n'; exit;;
    esac
    read -r n <'${directory}/n' || n=0; n=$((n + 1)); echo $n >'${directory}/n'
    echo Id=kubelet.service; echo ConditionResult=yes
    ${show}`,
  );
  program('journalctl', 'echo "unknown flag: --no-such-flag"');
  writeFileSync(join(directory, 'n'), '0\n');
  return {
    name: 'workers-a-1',
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
const settle = (show: string, timeoutMs = 60_000) =>
  settleUnits(hostWhere(show), ['kubelet.service'], { timeoutMs, signal: new AbortController().signal });

test('a unit that was told to restart is waited for, and its start is known by the clock of the host', async () => {
  const started = await settle('[ $n -gt 3 ] && echo Job= || echo Job=17; echo ActiveState=active; echo NRestarts=0');
  // Five seconds before it was asked.
  expect(Date.now() - started).toBeGreaterThan(4_900);
  expect(Date.now() - started).toBeLessThan(15_000);
});

test('a unit that ends again and again is given up long before the time is over, with its last words', async () => {
  const began = performance.now();
  const failure = settle('echo Job=; echo ActiveState=activating; echo NRestarts=$((n * 5))');
  await expect(failure).rejects.toMatchObject({
    problem: {
      what: expect.stringMatching(/^units do not run \d+ s after their restart$/),
      where: 'workers-a-1',
      why: expect.stringMatching(/kubelet\.service activating auto-restart exit-code[\s\S]*unknown flag: --no-such-flag/),
    },
  });
  expect(performance.now() - began).toBeLessThan(20_000);
});

test('restarts from before this wait do not count, and systemd counts anew after one of ours', async () => {
  await expect(
    settle(
      '[ $n -gt 6 ] && echo ActiveState=active || echo ActiveState=activating; [ $n -gt 2 ] && echo NRestarts=1 || echo NRestarts=400',
    ),
  ).resolves.toBeTypeOf('number');
});

test('a unit that is active for a moment between two ends does not pass for one that runs', async () => {
  await expect(
    settle('[ $((n % 3)) = 0 ] && echo ActiveState=activating || echo ActiveState=active; echo NRestarts=$n', 2_000),
  ).rejects.toMatchObject({ problem: { why: expect.stringContaining('kubelet.service') } });
});
