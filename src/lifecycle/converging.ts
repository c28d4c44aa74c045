import { UserError } from '../errors.ts';
import { chosenOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import type { Session } from './session.ts';

/** Healing may uncover what needs more of it, as a new machine does. */
export const maxRounds = 4;

/** `machine`: the differences are its own. */
export function notConverging(plan: Plan, { runId }: Pick<Session, 'runId'>, machine?: string): UserError {
  return new UserError({
    what: `after ${maxRounds} rounds there are still differences`,
    ...(machine !== undefined && { where: machine }),
    why: chosenOf(plan)
      .slice(0, 10)
      .map(({ address, fields, reason }) => `${address}: ${fields.map(({ path }) => path).join(', ') || reason}`)
      .join('\n'),
    next: [
      ...(machine !== undefined ? [`cluster logs ${machine}, then run the same command again`] : []),
      `something undoes these changes. Details: cluster history show ${runId}`,
    ].join('\n'),
  });
}
