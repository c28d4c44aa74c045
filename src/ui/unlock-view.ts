import type { LockRecord } from '../run/lock.ts';
import { timestamp } from './text.ts';
import type { View } from './view.ts';

export interface Unlocked {
  readonly cluster: string;
  readonly outcome: 'unlocked' | 'was not locked';
  /** Who held it. */
  readonly lock: LockRecord | undefined;
}

export const unlockView: View<Unlocked> = {
  human: ({ cluster, outcome }, { style }) =>
    outcome === 'unlocked' ? `${style.green('✔')} ${cluster} is unlocked.` : `${cluster} is not locked: nothing to do.`,
};

export interface HeldLock {
  readonly lock: LockRecord;
  /** Of its holder, seen from here. */
  readonly process: 'lives' | 'gone' | 'elsewhere';
}
const processText: Readonly<Record<HeldLock['process'], string>> = {
  lives: 'lives, on this machine: stop it rather than unlock',
  gone: 'is gone: the next command takes the lock over by itself',
  elsewhere: 'cannot be seen from here',
};

/** Who holds a lock, since when, and when it last gave a sign of life: what one wants to know before breaking it. */
export const lockView: View<HeldLock> = {
  human: ({ lock, process }, { style }) =>
    [
      `${style.bold('The lock is held')}`,
      `  by              ${lock.holder} on ${lock.host}${lock.process ? `, process ${lock.process.pid}` : ''}`,
      `  its process     ${processText[process]}`,
      `  for             ${lock.purpose}  (${lock.command})`,
      `  since           ${timestamp(Date.parse(lock.acquiredAt))} UTC`,
      `  last heartbeat  ${timestamp(Date.parse(lock.heartbeatAt))} UTC (a living holder renews every 10 s)`,
      'A holder that is dead is taken over without `unlock`: at once on its own machine, after 60 s of silence elsewhere.',
    ].join('\n'),
};
