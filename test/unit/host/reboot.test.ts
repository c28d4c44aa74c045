import { expect, test } from 'vitest';
import { UnreachableError } from '../../../src/errors.ts';
import type { ExecResult, Host } from '../../../src/host/host.ts';
import { rebootHost } from '../../../src/host/packages.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

/** A host that is asked, from its restart on, which boot it is. */
async function restarted(answer: () => ExecResult): Promise<string[]> {
  const asked: string[] = [];
  const host: Host = {
    name: 'workers-a-1',
    exec: async (command) => {
      asked.push(command);
      if (command === 'sh -s') return answer();
      throw new UnreachableError({ what: 'the connection has ended', where: 'workers-a-1' });
    },
    interactive: () => Promise.reject(new Error('never')),
    stream: () => Promise.reject(new Error('never')),
  };
  // The wall clock, too, stands still while nobody sleeps.
  const options = { now: () => time.now, signal: new AbortController().signal };
  await time.until(rebootHost({ get: async () => host }, 'workers-a-1', 'first', options));
  return asked;
}
const says = (stdout: string): ExecResult => ({ code: 0, stdout, stderr: '' });
const silent = (): never => {
  throw new UnreachableError({ what: 'the host gives no answer', where: 'workers-a-1' });
};

test('a host is back when another boot of it answers, and systemd with it', async () => {
  const answers = [silent, () => says('first\n'), () => ({ code: 7, stdout: '', stderr: '' }), () => says('second\n')];
  const asked = await restarted(() => (answers.shift() ?? silent)());
  expect(answers).toEqual([]);
  expect(asked.filter((command) => command.includes('reboot'))).toHaveLength(1);
});

test.each([
  ['one that never answers again', silent, /gives no answer/],
  ['one that does not restart', () => says('first\n'), /has not restarted yet/],
  ['one that does not get to its services', () => ({ code: 7, stdout: '', stderr: '' }), /is still starting/],
])('%s: told after five minutes, with its name, how far it came, and what to do', async (_, answer, why) => {
  const began = time.now;
  await expect(restarted(answer)).rejects.toMatchObject({
    exitCode: 69,
    problem: {
      what: 'it did not come back within 300 s of its restart',
      where: 'workers-a-1',
      why: expect.stringMatching(why),
      next: expect.stringMatching(/console.*run the same command again/),
    },
  });
  expect(time.now - began).toBeGreaterThanOrEqual(300_000);
});
