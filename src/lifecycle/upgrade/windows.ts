import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../errors.ts';
import { type InWindow, inWindow } from '../../rollout/window.ts';
import type { Session } from '../session.ts';

type Outside = Pick<Session, 'opened'>;

/** The window that is open, or the next one. Throws UserError outside of them where nobody is to wait for it, or none comes. */
function windowOf({ opened }: Outside): InWindow {
  const { windows, outside } = opened.cluster.upgrade;
  const now = inWindow(windows, new Date(opened.now()));
  if (now.open || (outside === 'wait' && now.opens)) return now;
  throw new UserError({
    what: `no maintenance window is open: the next one opens ${now.opens ? `at ${now.opens.toISOString()}` : 'never again'}`,
    where: 'upgrade.windows',
    next: 'run it then; or set upgrade.outside: wait, or change the windows',
  });
}

/** Before anybody is asked, and cluster.yaml edited: throws UserError where the upgrade would not begin now. */
export const refuseOutside = (session: Outside): void => void windowOf(session);

/** A longer wait than this is one in which anything may have happened. */
const longMs = 60_000;

/** For whoever reads the result. */
export const whileWaiting = 'interrupted while it waited for the maintenance window';

/** Nothing of a machine's turn begins then, nor anything that is healed before. */
export const isOutside = ({ opened }: Outside): boolean => !inWindow(opened.cluster.upgrade.windows, new Date(opened.now())).open;

/**
 * Waits until a maintenance window is open; at once without any. `waited`: so long that what was seen before is old. Throws UserError outside of them where
 * `upgrade.outside` is refuse.
 */
export async function untilWindow(session: Session, stopping: AbortSignal): Promise<'open' | 'waited' | 'interrupted'> {
  const { opened, emit, signal } = session;
  const began = opened.now();
  for (;;) {
    const now = windowOf(session);
    if (now.open || !now.opens) return opened.now() - began > longMs ? 'waited' : 'open';
    const message = `waits for the maintenance window, which opens at ${now.opens.toISOString()}`;
    emit({ type: 'progress', task: 'window', message });
    // In parts: a machine that sleeps meanwhile must not sleep through it.
    const waitMs = Math.min(60_000, Math.max(0, now.opens.getTime() - opened.now()));
    await sleep(waitMs, undefined, { signal: AbortSignal.any([signal, stopping]) }).catch((error: unknown) => {
      if (signal.aborted || !stopping.aborted) throw error;
    });
    if (stopping.aborted) return 'interrupted';
  }
}
