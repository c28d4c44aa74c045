import { steadily, Tally, type Traffic } from './outcome.ts';
import { type Call, outcomeOf } from './request.ts';

export interface StoreTraffic extends Traffic {
  /** How often each replica has become another process: by its ordinal. */
  readonly moves: readonly number[];
  /** Requests for which one replica had no answer: what two of three are there for. */
  readonly without: number;
}
export interface StoreOptions {
  readonly perSecond?: number;
  /** Of one replica's answer; a request of the store's waits for as many as it needs. */
  readonly timeoutMs?: number;
}

/**
 * A client of a store of three replicas with names of their own, `store-0` and so on, each asked at its own address: every number is written to all, and read from
 * all. A request is well when two of three have answered, and a number that two have taken is what two tell. Nothing is retried. Each must answer by its own
 * name, and one that has answered as a new process never again as the one before: then two would bear one name at once.
 */
export function startStoreLoad(
  urls: readonly URL[],
  { perSecond = 2, timeoutMs = 5_000 }: StoreOptions = {},
): { stop(): Promise<StoreTraffic> } {
  const quorum = Math.floor(urls.length / 2) + 1;
  const tally = new Tally();
  const lives = urls.map((): string[] => []);
  const late = new Set<Promise<unknown>>();
  let without = 0;

  /** The number that this replica tells, or why it tells none. */
  const ask = async (ordinal: number, path: string, method: string): Promise<number | string> => {
    let told = Number.NaN;
    let [name, life] = ['', ''];
    const call: Call = { url: new URL(path, urls[ordinal]), method, signal: AbortSignal.timeout(timeoutMs) };
    const at = Date.now();
    const failed = await outcomeOf(call, (text) => {
      const [own = '', process = '', number] = text.trim().split(' ');
      [name, life, told] = [own, process, Number(number)];
    });
    if (failed !== undefined) return `store-${ordinal}: ${failed}`;
    const known = lives[ordinal] ?? [];
    const strange =
      name !== `store-${ordinal}`
        ? `store-${ordinal} answers as ${name}`
        : known.includes(life) && known.at(-1) !== life
          ? `store-${ordinal} is two processes at once`
          : undefined;
    if (strange !== undefined) tally.fail({ at, ms: Date.now() - at, kind: 'store identity', text: strange });
    else if (!known.includes(life)) known.push(life);
    return told;
  };
  /** Undefined as soon as enough have told a number that is not less. */
  const all = async (path: string, method: string, least: number): Promise<string | undefined> => {
    const answers = urls.map((_, ordinal) => ask(ordinal, path, method));
    const whole = Promise.all(answers).then((told) => {
      if (told.some((each) => typeof each === 'string')) without++;
    });
    late.add(whole);
    void whole.finally(() => late.delete(whole));
    const numbers: number[] = [];
    const problems: string[] = [];
    return new Promise((done) => {
      for (const answer of answers)
        void answer.then((told) => {
          if (typeof told === 'number') numbers.push(told);
          else problems.push(told);
          if (numbers.length === quorum)
            done(
              Math.max(...numbers) >= least
                ? undefined
                : `${least} was written, and ${quorum} of them tell ${numbers.join(', ')}`,
            );
          else if (problems.length > urls.length - quorum) done(problems.join('; '));
        });
    });
  };
  // By the clock: replicas that have lived before another client began know greater numbers than one.
  const first = Date.now();
  const steady = steadily(1000 / perSecond, async (index) => {
    const number = first + index;
    if (await tally.count('store write', () => all(`/value/${number}`, 'PUT', number)))
      await tally.count('store read', () => all('/value', 'GET', number));
  });
  return {
    async stop() {
      await steady.stop();
      await Promise.all(late);
      return { ...tally.traffic, moves: lives.map((known) => Math.max(0, known.length - 1)), without };
    },
  };
}
