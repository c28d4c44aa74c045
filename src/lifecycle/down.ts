import { messageOf, UnreachableError, UserError } from '../errors.ts';
import { chosenOf, leftOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import { amendRecord } from './identity.ts';
import type { Opened } from './opened.ts';
import { runPlan } from './round.ts';
import { planSession, type Session, withLockedSession } from './session.ts';

export interface DownOptions {
  readonly allowDataLoss: boolean;
  readonly lockWaitMs: number;
  confirm(plan: Plan): Promise<boolean>;
}
export interface DownResult {
  readonly cluster: string;
  readonly outcome: 'done' | 'nothing to do' | 'declined';
  readonly deleted: number;
  /** Kept on purpose: volumes, and the store with its secrets. */
  readonly kept: readonly string[];
}

/** Deletes the infrastructure of a cluster, whole or half-made, found by its ownership marks and not by the design. Data only with `allowDataLoss`. */
export async function down(opened: Opened, options: DownOptions): Promise<DownResult> {
  const { cluster, provider, signal } = opened;
  const policy = { command: 'down', allowDataLoss: options.allowDataLoss } as const;
  // The lock needs a store. One that was not there before this run holds nothing, and is not left behind: the name may have been mistyped.
  let stood = (await provider.store(cluster, { create: false }, signal)) !== undefined;
  const result = await withLockedSession(
    opened,
    { command: 'down', waitMs: options.lockWaitMs, only: 'infrastructure' },
    async (session): Promise<DownResult> => {
      const plan = await planSession(session, policy, []);
      refuseBlind(session);
      // Somebody else may have made this cluster before the lock was ours.
      stood ||= !session.isNew;
      const kept = (p: Plan): string[] => [
        ...leftOf(p).map((change) => change.address),
        ...(options.allowDataLoss || !stood || !session.store
          ? []
          : [`the cluster's records and secrets in ${session.store.url}`]),
      ];
      if (chosenOf(plan).length === 0 && !options.allowDataLoss)
        return { cluster: cluster.name, outcome: 'nothing to do', deleted: 0, kept: kept(plan) };
      if (!(await options.confirm(plan))) return { cluster: cluster.name, outcome: 'declined', deleted: 0, kept: [] };
      session.begin(plan);
      const deleted = await runPlan(plan, session);
      const after = await planSession(session, policy, []);
      refuseBlind(session);
      if (chosenOf(after).length > 0) {
        throw new UserError({
          what: `${chosenOf(after).length} things are still there`,
          why: chosenOf(after)
            .map((change) => change.address)
            .join('\n'),
          next: 'run the same command again',
        });
      }
      // No machine has them any more: the next `up` may begin with those of the file.
      await amendRecord(session, { settings: undefined });
      return { cluster: cluster.name, outcome: 'done', deleted, kept: kept(after) };
    },
  );
  if (!stood || (options.allowDataLoss && result.outcome !== 'declined')) {
    try {
      await provider.removeStore(cluster, signal);
    } catch (error) {
      throw new UserError({
        what: 'the machines are gone, and the store could not be removed',
        why: messageOf(error),
        next: 'run the same command again',
      });
    }
  }
  return result;
}

/** A deletion plan lists what was seen. With half of it seen, the rest would be left behind as gone, and the store with its keys removed. */
function refuseBlind({ seen }: Session): void {
  const unknown = [...seen.entries()].flatMap(([address, found]) =>
    found.state === 'unknown' ? [`${address}: ${found.why}`] : [],
  );
  const blind = [...[...seen.blind()].map(([prefix, { why }]) => `${prefix}*: ${why}`), ...unknown];
  if (blind.length === 0) return;
  throw new UnreachableError({
    what: 'not everything of this cluster could be seen, so it cannot be said what is to be deleted',
    why: blind.slice(0, 10).join('\n'),
    next: 'mend that and run the same command again: it goes on from what it finds',
  });
}
