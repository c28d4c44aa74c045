import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from '../config/finding.ts';
import { exitCodes, UserError } from '../errors.ts';
import type { Policy } from '../plan/choose.ts';
import { chosenOf, isRemainder, leftOf, samePlan, unseenOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import { typeOf } from '../plan/resource.ts';
import { untilApiSeen } from './api-unseen.ts';
import { assetsOfBundles, assetsToUpload } from './assets.ts';
import { foundationOf, refuseLostKeys } from './foundation.ts';
import { amendRecord } from './identity.ts';
import type { Opened } from './opened.ts';
import { errorsOfPlace, refuseErrors } from './preflight.ts';
import { runPlan } from './round.ts';
import { maxRounds, notConverging } from './rounds.ts';
import { secretResources } from './secrets.ts';
import { type Look, lookSession, type Session, withCost, withLockedSession } from './session.ts';
import { settingsOf } from './settings.ts';
import { lastLook } from './status.ts';

export interface UpOptions {
  readonly allowDataLoss: boolean;
  /** A plan that was reviewed: only that, or what remains of it after a crash, is carried out. */
  readonly saved?: Plan;
  /** Shown before anything is done; false stops. */
  confirm(plan: Plan): Promise<boolean>;
  /** How long to wait for somebody else's lock, in milliseconds. */
  readonly lockWaitMs: number;
}
export interface UpResult {
  readonly cluster: string;
  readonly runId: string;
  readonly outcome: 'nothing to do' | 'done' | 'declined';
  readonly changed: number;
  /** What is left, and to which command. */
  readonly left: Plan['changes'];
  /** What the last look found worth a warning. */
  readonly findings: readonly Finding[];
}

/**
 * Converges the world to cluster.yaml where that interrupts nobody: observe, plan, run, observe again. Succeeds only when the last look
 * finds nothing left of what it was to do. Throws UserError with what failed and how to go on.
 */
export async function up(opened: Opened, options: UpOptions): Promise<UpResult> {
  const policy = { command: 'up', allowDataLoss: options.allowDataLoss } as const;
  return withLockedSession(opened, { command: 'up', waitMs: options.lockWaitMs }, async (session) => {
    let look = await lookSession(session, policy);
    refuseLostStore(session);
    refuseLostKeys(session.record?.keys, session.seen, session.store?.url ?? 'store');
    refuseStale(look.plan, options.saved);
    const result = (outcome: UpResult['outcome'], changed: number, findings: readonly Finding[] = []): UpResult => ({
      cluster: opened.cluster.name,
      runId: session.runId,
      outcome,
      changed,
      left: leftOf(look.plan),
      findings,
    });
    const finish = async (outcome: UpResult['outcome'], changed: number): Promise<UpResult> => {
      refuseBlind(look.plan);
      const findings = await verify(session, look, policy);
      await amendRecord(session, {
        foundation: foundationOf(opened.cluster),
        settings: settingsOf(session.inForce.variants.all[0].cluster),
        keys: secretResources(opened.cluster).map(({ address }) => address),
      });
      return result(outcome, changed, findings);
    };
    if (chosenOf(look.plan).length === 0) return finish('nothing to do', 0);
    if (makesInfrastructure(look.plan, session))
      refuseErrors(await errorsOfPlace(opened.provider, session.design.topology, session.signal));
    if (!(await options.confirm(await withCost(session, look.plan)))) return result('declined', 0);
    session.begin(look.plan);
    await opened.assets.ensure(neededAssets(session, look.plan), session.signal);
    await amendRecord(session, { foundation: foundationOf(opened.cluster) });
    let changed = 0;
    for (let round = 1; chosenOf(look.plan).length > 0; round++) {
      if (round > maxRounds) throw notConverging(look.plan, session);
      if (round > 1 && options.saved && !isRemainder(look.plan, options.saved))
        throw new UserError({
          what: 'the saved plan is done, and what it could not see needs more changes',
          next: 'run `cluster plan` and review what is left',
        });
      changed += await runPlan(look.plan, session);
      look = await untilApiSeen(
        session,
        () => lookSession(session, policy),
        ({ plan }) => plan,
      );
    }
    return finish('done', changed);
  });
}

/** What this run needs in the cache of this machine: what is mounted or pushed from it, or what the store does not have yet. */
function neededAssets({ opened, design }: Session, plan: Plan) {
  const all = assetsOfBundles(design.bundles.values());
  return opened.provider.delivery === 'fetched' ? assetsToUpload(all, plan) : all;
}

const infrastructureTypes = ({ connected }: Session): ReadonlySet<string> =>
  new Set(
    connected.filter(({ layer }) => layer.name === 'infrastructure').flatMap(({ layer }) => layer.types.map((type) => type.name)),
  );

function makesInfrastructure(plan: Plan, session: Session): boolean {
  const types = infrastructureTypes(session);
  return chosenOf(plan).some(({ action, address }) => action === 'create' && types.has(typeOf(address)));
}

/** A member that was promoted a moment ago may need a second to say so; what is wrong after these looks is wrong. */
const healthLooks = 4;
const healthEveryMs = 1000;

/** Nothing is left to do: now what was seen must be well, too. Returns the warnings; throws UserError with everything that is not. */
async function verify(session: Session, first: Look, policy: Policy): Promise<readonly Finding[]> {
  for (let look = first, looks = 1; ; looks++) {
    const findings = await lastLook(session, look);
    const errors = findings.filter(({ severity }) => severity === 'error');
    if (errors.length === 0) return findings;
    if (looks === healthLooks) throw unhealthy(errors);
    await sleep(healthEveryMs, undefined, { signal: session.signal });
    look = await lookSession(session, policy);
    refuseBlind(look.plan);
  }
}

const unhealthy = (errors: readonly Finding[]): UserError =>
  new UserError({
    what: `everything is as cluster.yaml says, and ${errors.length === 1 ? 'one thing is' : `${errors.length} things are`} not healthy`,
    why: errors.map(({ where, what, why }) => [where, what, why].filter(Boolean).join(': ')).join('\n'),
    next: [...new Set(errors.flatMap(({ next }) => next ?? [])), 'cluster status shows it all'].join('\n'),
  });

/**
 * Machines without records: the store was lost or another one is looked at. Going on would issue a new PKI under a living cluster.
 * (A first `up` that was killed has its records and its SSH key: both are there before the first machine. A refused one has the record.)
 */
function refuseLostStore(session: Session): void {
  const { isNew, seen, store, opened } = session;
  if (!isNew && seen.get('secret/ssh') !== undefined) return;
  const types = infrastructureTypes(session);
  const machine = [...seen.entries()].find(
    ([address, found]) => types.has(typeOf(address)) && typeOf(address).endsWith('.machine') && found.state === 'present',
  )?.[0];
  if (machine === undefined) return;
  throw new UserError({
    what: `machines of a cluster ${opened.cluster.name} are there (${machine}), and its records are not`,
    where: store?.url ?? 'store',
    why: 'its keys and identity are in the store that made it: a new one would not be trusted by these machines',
    next: 'bring that store back (XDG_STATE_HOME, or a backup of it), or delete the machines with `cluster down`',
  });
}

function refuseStale(plan: Plan, saved: Plan | undefined): void {
  if (!saved || samePlan(plan, saved) || isRemainder(plan, saved)) return;
  const key = (p: Plan): Set<string> =>
    new Set(p.changes.map((c) => `${c.action} ${c.address}: ${c.fields.map((f) => f.path).join(', ')}`));
  const [now, then] = [key(plan), key(saved)];
  const difference = [
    ...[...now].filter((k) => !then.has(k)).map((k) => `+ ${k}`),
    ...[...then].filter((k) => !now.has(k)).map((k) => `- ${k}`),
  ];
  throw new UserError(
    {
      what: 'the saved plan is stale: the file or the world has changed since it was made',
      why:
        difference.slice(0, 20).join('\n') ||
        (plan.specDigest === saved.specDigest ? 'values of the same changes differ' : 'cluster.yaml has changed'),
      next: 'make and review a new one: cluster plan --out FILE',
    },
    exitCodes.lockedOrStale,
  );
}

/** What could not be seen is never "fine". */
function refuseBlind(plan: Plan): void {
  const unseen = unseenOf(plan);
  if (unseen.length === 0) return;
  throw new UserError(
    {
      what: `${unseen.length} things could not be seen, so nothing is known of them`,
      why: unseen
        .slice(0, 10)
        .map((change) => `${change.address}: ${change.reason}`)
        .join('\n'),
      next: 'make them reachable (cluster status says what answers), then run the same command again',
    },
    exitCodes.unreachable,
  );
}
