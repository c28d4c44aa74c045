import { UserError } from '../errors.ts';
import { chosenOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import type { Session } from './session.ts';

/** What healing uncovers (a machine that was stopped, an API that was down) takes another round; more than these is not converging. */
export const maxRounds = 4;

/** For the round after the last. `machine`: these differences are its own. */
export function notConverging(plan: Plan, { runId }: Pick<Session, 'runId'>, machine?: string): UserError {
  return new UserError({
    what: `after ${maxRounds} rounds there are still differences`,
    ...(machine !== undefined && { where: machine }),
    why: chosenOf(plan)
      .slice(0, 10)
      .map(({ address, fields, reason }) => `${address}: ${fields.map(({ path }) => path).join(', ') || reason}`)
      .join('\n'),
    next: [
      ...(machine === undefined ? [] : [`cluster logs ${machine}, then run the same command again`]),
      `something undoes these changes. Details: cluster history show ${runId}`,
    ].join('\n'),
  });
}
