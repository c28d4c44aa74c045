import type { Lane, Turn, Wave } from '../../src/rollout/rollout.ts';
import { type Outcome, runWaves, type ScheduleOptions, type SchedulePorts } from '../../src/rollout/schedule.ts';
import { VirtualTime } from './virtual-time.ts';

export const aTurn = (machine: string, more: Partial<Turn> = {}): Turn => ({
  machine,
  role: 'worker',
  zone: 'a',
  how: 'in-place',
  drain: true,
  because: [],
  versions: [],
  restarts: [],
  files: [],
  ...more,
});
/** `count` workers of a pool, over the zones in turn, or (`blocks`) zone after zone. */
export const workers = (pool: string, count: number, zones: readonly string[] = ['a'], blocks = false): readonly Turn[] =>
  Array.from({ length: count }, (_, i) => {
    const at = blocks ? Math.floor((i * zones.length) / count) : i % zones.length;
    return aTurn(`${pool}-${i + 1}`, { pool, zone: zones[at] ?? 'a' });
  });
export const aLane = (name: string, turns: readonly Turn[], more: Partial<Lane> = {}): Lane => ({
  name,
  strategy: 'in-place',
  maxUnavailable: 1,
  maxSurge: 0,
  first: [],
  turns: [...turns],
  last: [],
  ...more,
});
export const surge = (pool: string, count: number, how: 'add' | 'remove'): Turn[] =>
  Array.from({ length: count }, (_, i) => aTurn(`${pool}-surge-${i + 1}`, { pool, zone: 'abc'[i % 3] ?? 'a', how }));
export const aWave = (name: string, lanes: readonly Lane[], more: Partial<Wave> = {}): Wave => ({
  name,
  kubernetes: '1.36.3',
  lanes: [...lanes],
  changes: [],
  ...more,
});

/** One rollout in virtual time: `log` has what happened, in its order: `0 begin pool-1`, `30 end pool-1`. */
export class Rehearsal {
  readonly time = new VirtualTime();
  readonly log: string[] = [];
  readonly tasks: string[] = [];
  readonly stop = new AbortController();
  readonly abort = new AbortController();
  readonly away = new Set<Turn>();
  peak = 0;

  async run(
    waves: readonly Wave[],
    more: Partial<ScheduleOptions> & Partial<SchedulePorts> & { readonly moment?: () => void } = {},
  ): Promise<Outcome> {
    const { turn = () => this.time.sleep(10), gate = async () => undefined, wave, lost, moment, ...options } = more;
    const say = (text: string): void => void this.log.push(`${this.time.now} ${text}`);
    const ports: SchedulePorts = {
      turn: async (...args) => {
        say(`begin ${args[0].machine}`);
        this.away.add(args[0]);
        this.peak = Math.max(this.peak, this.away.size);
        await turn(...args);
      },
      gate: async (...args) => {
        await gate(...args);
        this.away.delete(args[0]);
        say(`end ${args[0].machine}`);
      },
      wave: async (...args) => {
        say(`${args[1]} ${args[0].name} ${args[0].kubernetes}`);
        await wave?.(...args);
      },
      ...(lost && { lost }),
      emit: ({ type, task }) => void this.tasks.push(`${type} ${task}`),
    };
    const work = runWaves(waves, ports, {
      maxDrains: 1000,
      canary: false,
      stopping: this.stop.signal,
      signal: this.abort.signal,
      clock: this.time,
      ...options,
    });
    return this.time.until(work, moment);
  }

  /** Machines in the order in which their turns began. */
  get order(): readonly string[] {
    return this.log.flatMap((line) => / begin (\S+)$/.exec(line)?.[1] ?? []);
  }
}
export const machines = (places: readonly { readonly turn: Turn }[]): readonly string[] => places.map(({ turn }) => turn.machine);
