import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { exitCodes, messageOf, UserError } from '../errors.ts';
import { type Plan, planSchema } from '../plan/plan.ts';
import { type UpgradePlan, upgradePlanSchema } from '../rollout/upgrade-plan.ts';
import { refuseLostKeys } from './foundation.ts';
import type { Opened } from './opened.ts';
import { planSession, withCost, withSession } from './session.ts';

export { unseenOf } from '../plan/make.ts';

/** What `up` would do now. Takes no lock and makes nothing. */
export const planCluster = (opened: Opened): Promise<Plan> =>
  withSession(opened, async (session) => {
    const plan = await planSession(session, { command: 'up', allowDataLoss: false });
    refuseLostKeys(session.record?.keys, session.seen, session.store?.url ?? 'store');
    return withCost(session, plan);
  });

export async function savePlan(plan: Plan | UpgradePlan, file: string): Promise<void> {
  await writeFile(file, `${JSON.stringify(plan, null, 2)}\n`, { mode: 0o600 });
}

export const readPlan = (file: string): Promise<Plan> => readAs(planSchema, file, 'cluster plan --out FILE');
export const readUpgradePlan = (file: string): Promise<UpgradePlan> =>
  readAs(upgradePlanSchema, file, 'cluster upgrade --dry-run --out FILE');

async function readAs<T>(schema: z.ZodType<T>, file: string, remake: string): Promise<T> {
  const parsed = schema.safeParse(parse(await read(file, remake), file, remake));
  if (parsed.success) return parsed.data;
  throw new UserError(
    {
      what: 'not a plan of this version of Slipway',
      where: file,
      why: z.prettifyError(parsed.error),
      next: `make a new one: ${remake}`,
    },
    exitCodes.lockedOrStale,
  );
}

async function read(file: string, remake: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(
      {
        what: 'the saved plan cannot be read',
        where: file,
        why: messageOf(error),
        next: `check the path; a new plan: ${remake}`,
      },
      exitCodes.usage,
      { cause: error },
    );
  }
}
function parse(text: string, file: string, remake: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(
      { what: 'the saved plan is not JSON', where: file, why: messageOf(error), next: `make a new one: ${remake}` },
      exitCodes.lockedOrStale,
      { cause: error },
    );
  }
}
