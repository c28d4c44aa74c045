import { expect, test } from 'vitest';
import { watch } from '../../../src/cli/watch.ts';
import { UnreachableError, UserError } from '../../../src/errors.ts';

test('watch looks again and again, also after a look that reached nobody, and Ctrl-C is its ordinary end', async () => {
  const controller = new AbortController();
  const seen: string[] = [];
  let looks = 0;
  await watch({
    look: async () => {
      looks++;
      if (looks === 2) throw new UnreachableError({ what: 'nobody' });
      return looks;
    },
    draw: (data) => {
      seen.push(`look ${data}`);
      if (data === 3) controller.abort();
    },
    missed: ({ problem }) => seen.push(problem.what),
    everyMs: 1,
    signal: controller.signal,
  });
  expect(seen).toEqual(['look 1', 'nobody', 'look 3']);
});

test('what no further look would mend ends it', async () => {
  const failing = watch({
    look: async () => {
      throw new UserError({ what: 'no such file' });
    },
    draw: () => undefined,
    missed: () => undefined,
    everyMs: 1,
    signal: new AbortController().signal,
  });
  await expect(failing).rejects.toThrow('no such file');
});
