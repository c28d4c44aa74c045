import { describe, expect, test } from 'vitest';
import { type ProcessTable, processesBy, systemProcesses } from '../../../src/run/processes.ts';

const failing = (code: string) => () => {
  throw Object.assign(new Error(code), { code });
};
const stat = (startTime: string) => async () => `7 (a) b) S ${'0 '.repeat(18)}${startTime} 0`;

describe('whether the holder of a lock lives', async () => {
  const self = await systemProcesses.self();
  test.runIf(self).each<[string, Partial<ProcessTable>, boolean]>([
    ['runs', { stat: stat('42') }, false],
    ['has left its number to another', { stat: stat('43') }, true],
    ['is not there', { stat: async () => failing('ENOENT')(), probe: failing('ESRCH') }, true],
    ['is of another user, and hidden (hidepid=2)', { stat: async () => failing('ENOENT')(), probe: failing('EPERM') }, false],
    ['is hidden, and answers', { stat: async () => failing('ENOENT')() }, false],
    ['may not be read (hidepid=1)', { stat: async () => failing('EACCES')() }, false],
    ['has ended while it was read', { stat: async () => failing('ESRCH')(), probe: failing('ESRCH') }, true],
  ])('one that %s', async (_, table, gone) => {
    if (!self) return;
    const processes = processesBy({ stat: stat('42'), probe: () => undefined, ...table });
    expect(await processes.isGone({ ...self, pid: 7, startTime: '42' })).toBe(gone);
  });
});
