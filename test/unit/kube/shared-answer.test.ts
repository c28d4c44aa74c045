import { describe, expect, test } from 'vitest';
import { sharedAnswer } from '../../../src/kube/wait.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();
const never = new AbortController().signal;

describe('a shared answer', () => {
  test('is asked for once, however many want it at once, and serves for its time', async () => {
    let asked = 0;
    const answer = sharedAnswer(async () => ++asked);
    expect(await Promise.all([answer.get(5000, never), answer.get(5000, never)])).toEqual([1, 1]);
    time.now += 5000;
    expect(await answer.get(5000, never)).toBe(1);
    time.now += 1;
    expect(await answer.get(5000, never)).toBe(2);
  });

  test('is never older than whoever asks allows', async () => {
    let asked = 0;
    const answer = sharedAnswer(async () => ++asked);
    await answer.get(5000, never);
    time.now += 1;
    expect(await answer.get(0, never)).toBe(2);
    expect(await answer.get(5000, never)).toBe(2);
  });

  test('that fails is told to who waits for it, and to nobody after that', async () => {
    let asked = 0;
    const answer = sharedAnswer(async () => {
      if (++asked === 1) throw new Error('slow');
      return asked;
    });
    const both = await Promise.allSettled([answer.get(5000, never), answer.get(5000, never)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await answer.get(5000, never)).toBe(2);
  });

  test('goes on for the others when one of them leaves', async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const answer = sharedAnswer(() => promise);
    const leaves = new AbortController();
    const [gone, stays] = [answer.get(5000, leaves.signal), answer.get(5000, never)];
    leaves.abort(new Error('left'));
    await expect(gone).rejects.toThrow('left');
    resolve('well');
    expect(await stays).toBe('well');
  });
});
