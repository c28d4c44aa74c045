import { UserError } from '../errors.ts';
import { chosenOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import type { Session } from './session.ts';

/** What healing uncovers (a machine that was stopped, an API that was down) takes another round; more than these is not converging. */
export const maxRounds = 4;

/** For the round after the last. */
export function notConverging(plan: Plan, { runId }: Pick<Session, 'runId'>): UserError {
  return new UserError({
    what: `after ${maxRounds} rounds there are still differences`,
    why: chosenOf(plan)
      .slice(0, 10)
      .map((change) => `${change.address}: ${change.fields.map((field) => field.path).join(', ') || change.reason}`)
      .join('\n'),
    next: `something undoes these changes. Details: cluster history show ${runId}`,
  });
}
