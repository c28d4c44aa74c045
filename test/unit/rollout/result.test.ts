import { expect, test } from 'vitest';
import { exitCodeOf } from '../../../src/rollout/result.ts';

test('what was stopped on its way is not done: 130 by Ctrl-C, 1 by the end of the window or a no; a pause that was asked for is', () => {
  expect(exitCodeOf({ outcome: 'stopped' }, true)).toBe(130);
  expect(exitCodeOf({ outcome: 'stopped' }, false)).toBe(1);
  expect(exitCodeOf({ outcome: 'declined' }, false)).toBe(1);
  for (const outcome of ['done', 'nothing to do', 'paused', 'aborted'] as const) expect(exitCodeOf({ outcome }, false)).toBe(0);
});
