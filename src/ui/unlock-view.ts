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

/** Who holds a lock, since when, and when it last gave a sign of life: what one wants to know before breaking it. */
export const lockView: View<LockRecord> = {
  human: (lock, { style }) =>
    [
      `${style.bold('The lock is held')}`,
      `  by              ${lock.holder} on ${lock.host}${lock.process ? `, process ${lock.process.pid}` : ''}`,
      `  for             ${lock.purpose}  (${lock.command})`,
      `  since           ${timestamp(Date.parse(lock.acquiredAt))} UTC`,
      `  last heartbeat  ${timestamp(Date.parse(lock.heartbeatAt))} UTC (a living holder renews every 10 s)`,
      'A holder that is dead is taken over without `unlock`: at once on its own machine, after 60 s of silence elsewhere.',
    ].join('\n'),
};
