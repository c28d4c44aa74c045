import { exitCodes, messageOf, UserError } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import type { Resource } from '../plan/resource.ts';
import { run } from '../run/runner.ts';
import type { Session } from './session.ts';

/** Steps of one lane that run at once. Docker and sshd answer fastest with a few at a time. */
const lanes = { infrastructure: 16, hosts: 64, kube: 32 };

interface RoundOptions {
  /** Since when a sign of life counts, in milliseconds since the epoch. Default: now. */
  readonly since?: number;
  /** Where the resources of all steps are among a few. */
  readonly desired?: readonly Resource[];
}

/** Carries out one plan. Returns how many steps were done; throws UserError with everything that failed. */
export async function runPlan(
  plan: Pick<Plan, 'steps' | 'command'>,
  session: Session,
  signal: AbortSignal = session.signal,
  { since = session.opened.now(), desired = session.design.resources }: RoundOptions = {},
): Promise<number> {
  const { opened, lock } = session;
  if (plan.steps.length === 0) return 0;
  const outcome = await run({
    steps: plan.steps,
    desired,
    connected: session.connected,
    seen: session.seen,
    secrets: session.secrets,
    emit: session.emit,
    signal,
    beforeStep: async () => lock?.check(),
    lanes,
    runId: session.runId,
    since,
    command: plan.command,
  });
  session.report(outcome);
  const [first] = outcome.failed;
  if (opened.signal.aborted)
    throw new UserError(
      {
        what: `interrupted: ${outcome.done.length} of ${plan.steps.length} steps are done`,
        next: 'run the same command again: it goes on from what it finds',
      },
      exitCodes.interrupted,
    );
  // Everything that failed after that failed because of it.
  lock?.signal.throwIfAborted();
  if (first) {
    const others = outcome.failed.slice(1).map(({ step, error }) => `${step.id}: ${messageOf(error)}`);
    throw new UserError({
      what: `${outcome.failed.length} of ${plan.steps.length} steps failed, ${outcome.notStarted.length} were not started`,
      where: first.step.id,
      why: [messageOf(first.error), ...others].join('\n'),
      next: `mend that and run the same command again: it goes on from what it finds. Details: cluster history show ${session.runId}`,
    });
  }
  if (outcome.notStarted.length > 0)
    throw new UserError({ what: `stopped before ${outcome.notStarted.length} steps`, next: 'run the same command again' });
  return outcome.done.length;
}
