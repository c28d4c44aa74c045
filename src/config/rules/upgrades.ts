import { cronProblem, isTimezone } from '../cron.ts';
import { durationMs } from '../duration.ts';
import type { Path } from '../path.ts';
import type { Drain } from '../schema.ts';
import { error, type Rule, type RuleFinding } from './rule.ts';

const share = (amount: number | string): number => (typeof amount === 'number' ? amount : Number.parseInt(amount, 10));

/** What a pool's strategy cannot do is refused here, and never done another way. */
export const amounts: Rule = function* ({ pools, upgrade }) {
  for (const [i, pool] of pools.entries()) {
    const { strategy, maxUnavailable, maxSurge } = pool.upgrade;
    const path = ['pools', i, 'upgrade'];
    if (strategy === 'in-place' && share(maxSurge) > 0)
      yield error(
        'pools.upgrade',
        [...path, 'maxSurge'],
        `Pool ${pool.name} has maxSurge ${maxSurge}, and is upgraded in place`,
        {
          why: 'more machines than the pool has are made only where machines are replaced',
          next: 'set strategy: replace, or remove maxSurge',
        },
      );
    if (share(maxUnavailable) > 0) continue;
    if (strategy === 'in-place')
      yield error(
        'pools.upgrade',
        [...path, 'maxUnavailable'],
        `Pool ${pool.name} is upgraded in place, and maxUnavailable is ${maxUnavailable}`,
        {
          why: 'a machine that is changed is away meanwhile',
          next: 'set maxUnavailable to 1 or more, or strategy: replace with maxSurge: 1',
        },
      );
    else if (share(maxSurge) === 0)
      yield error(
        'pools.upgrade',
        [...path, 'maxUnavailable'],
        `Pool ${pool.name} can never be upgraded: maxUnavailable and maxSurge are both 0`,
        { next: 'raise one of the two' },
      );
  }
  if (share(upgrade.maxDrains) === 0)
    yield error(
      'upgrade.amount',
      ['upgrade', 'maxDrains'],
      `upgrade.maxDrains is ${upgrade.maxDrains}: no node could ever drain`,
      {
        next: 'set it to 1 or more',
      },
    );
};

export const drains: Rule = function* ({ masters, pools }) {
  yield* drainProblems(masters.upgrade.drain, ['masters', 'upgrade', 'drain'], 'The masters');
  for (const [i, { name, upgrade }] of pools.entries())
    yield* drainProblems(upgrade.drain, ['pools', i, 'upgrade', 'drain'], `Pool ${name}`);
};
function* drainProblems({ timeout, forceAfter }: Drain, path: Path, who: string): Iterable<RuleFinding> {
  if (durationMs(timeout) === 0)
    yield error('upgrade.drain', [...path, 'timeout'], `${who}: a drain of ${timeout} moves nothing`, {
      next: 'remove timeout (5m), or give it more',
    });
  if (forceAfter !== undefined && durationMs(forceAfter) > durationMs(timeout))
    yield error(
      'upgrade.drain',
      [...path, 'forceAfter'],
      `${who}: forceAfter ${forceAfter} never comes: the drain ends after ${timeout}`,
      {
        why: 'at its timeout a drain has failed, and the upgrade stops',
        next: `raise timeout above ${forceAfter}, or lower forceAfter`,
      },
    );
}

/** Beyond 24 days timers end at once. */
const longestGate = 24 * 3_600_000;
export const gates: Rule = function* ({ upgrade }) {
  for (const [i, { name, command, job, timeout }] of upgrade.gates.entries()) {
    const path = ['upgrade', 'gates', i];
    if (upgrade.gates.findIndex((other) => other.name === name) < i)
      yield error('upgrade.gate', [...path, 'name'], `Two gates are named ${name}`, { next: 'rename one of them' });
    if (command === undefined && job === undefined)
      yield error('upgrade.gate', path, `Gate ${name} asks nothing: it has neither command nor job`, {
        next: 'add one of the two',
      });
    else if (command !== undefined && job !== undefined)
      yield error('upgrade.gate', [...path, 'job'], `Gate ${name} has a command and a job`, {
        onKey: true,
        next: 'keep one of the two, or make two gates',
      });
    if (command !== undefined && (typeof command === 'string' ? command : (command[0] ?? '')).trim() === '')
      yield error('upgrade.gate', [...path, 'command'], `Gate ${name} has a command without a program`);
    if (job !== undefined && /^[a-z]+:\/\//i.test(job))
      yield error('upgrade.gate', [...path, 'job'], `${job.slice(0, 80)} is a URL`, {
        why: 'what runs in the cluster must be in the same repository as cluster.yaml',
        next: 'save the manifest beside cluster.yaml, and name that file',
      });
    if (durationMs(timeout) === 0)
      yield error('upgrade.gate', [...path, 'timeout'], `Gate ${name} has a timeout of ${timeout}: it would always fail`, {
        next: 'remove timeout (5m), or give it more',
      });
    else if (durationMs(timeout) > longestGate)
      yield error('upgrade.gate', [...path, 'timeout'], `Gate ${name} has a timeout of ${timeout}; it must be at most 24h`, {
        why: 'nothing else begins while it is asked',
      });
  }
};

/** A stable time as long as a coffee break is a mistake of units: it is waited for at every machine. */
const longestStable = 3_600_000;
const longestReady = 3_600_000;
export const waits: Rule = function* ({ upgrade: { readyWithin, stableFor, apiP99 } }) {
  const readyMs = durationMs(readyWithin);
  if (readyMs < 10_000 || readyMs > longestReady)
    yield error('upgrade.ready', ['upgrade', 'readyWithin'], `upgrade.readyWithin is ${readyWithin}; it must be from 10s to 1h`, {
      why: readyMs < 10_000 ? 'a kubelet renews its lease every 10 s' : 'nothing else begins while a node is waited for',
    });
  if (durationMs(stableFor) > longestStable)
    yield error('upgrade.stable', ['upgrade', 'stableFor'], `upgrade.stableFor is ${stableFor}; it must be at most 1h`, {
      why: 'it is waited for at every machine',
    });
  if (durationMs(apiP99) === 0)
    yield error('upgrade.api-p99', ['upgrade', 'apiP99'], `upgrade.apiP99 is ${apiP99}: no API is that fast`, {
      next: 'remove it (1s), or give it more',
    });
};

export const windows: Rule = function* ({ upgrade }) {
  for (const [i, { cron, duration, timezone }] of upgrade.windows.entries()) {
    const path = ['upgrade', 'windows', i];
    const problem = cronProblem(cron);
    if (problem)
      yield error('upgrade.window', [...path, 'cron'], `The cron of this window ${problem.what}`, {
        ...(problem.next === undefined ? {} : { next: problem.next }),
      });
    if (durationMs(duration) < 60_000)
      yield error('upgrade.window', [...path, 'duration'], `A window of ${duration} is shorter than a minute`, {
        why: 'no machine is upgraded in that time',
        next: 'such as 4h',
      });
    else if (durationMs(duration) > 31 * 24 * 3_600_000)
      yield error('upgrade.window', [...path, 'duration'], `A window of ${duration} is longer than a month`, {
        next: 'remove the windows to upgrade at any time',
      });
    if (!isTimezone(timezone))
      yield error('upgrade.window', [...path, 'timezone'], `There is no time zone ${JSON.stringify(timezone.slice(0, 60))}`, {
        next: 'take a name of the IANA database: UTC, Europe/Berlin, America/New_York',
      });
  }
};
