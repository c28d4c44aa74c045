import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../errors.ts';
import { inWindow } from '../../rollout/window.ts';
import type { Session } from '../session.ts';

/** Waits until a maintenance window is open; at once without any. Throws UserError outside of them where `upgrade.outside` is refuse. */
export async function untilWindow({ opened, emit, signal }: Session, stopping: AbortSignal): Promise<void> {
  const { windows, outside } = opened.cluster.upgrade;
  for (;;) {
    const now = inWindow(windows, new Date(opened.now()));
    if (now.open) return;
    const opens = now.opens?.toISOString() ?? 'never again';
    if (outside === 'refuse' || !now.opens) {
      throw new UserError({
        what: `no maintenance window is open: the next one opens ${now.opens ? `at ${opens}` : opens}`,
        where: 'upgrade.windows',
        next: 'run it then; or set upgrade.outside: wait, or change the windows',
      });
    }
    emit({ type: 'progress', task: 'window', message: `waits for the maintenance window, which opens at ${opens}` });
    // In parts: a machine that sleeps meanwhile must not sleep through it.
    const waitMs = Math.min(60_000, Math.max(0, now.opens.getTime() - opened.now()));
    await sleep(waitMs, undefined, { signal: AbortSignal.any([signal, stopping]) });
  }
}
