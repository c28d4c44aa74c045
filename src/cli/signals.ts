import { exitCodes, UserError } from '../errors.ts';

/** Why `signal` was aborted: a person pressed Ctrl-C or the machine shuts down. */
export const interrupted = (by: string): UserError =>
  new UserError(
    { what: `Interrupted (${by})`, next: 'Run the same command again: it goes on from what it finds' },
    exitCodes.interrupted,
  );

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Before that, for a command that finishes what is at hand: the first signal aborts only this. */
  readonly stopping: AbortSignal;
  /** Gives the signals back to Node's defaults. */
  release(): void;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * The first signal aborts: running steps finish or are cut cleanly and the lock is released. The second exits at once:
 * what is half done is found by the next run. With `finishesFirst` one more comes before: what is at hand is finished, and nothing else begun.
 */
export const catchSignals = (
  say: (text: string) => void,
  exit: (code: number) => void = process.exit,
  finishesFirst: () => boolean = () => false,
): Interrupt => {
  const controller = new AbortController();
  const stopping = new AbortController();
  const on = (name: NodeJS.Signals) => {
    if (finishesFirst() && !stopping.signal.aborted) {
      stopping.abort(interrupted(name));
      say(
        'Stopping: what is at hand is finished, nothing else begins. Once more cuts it; running the same command again goes on.',
      );
      return;
    }
    if (controller.signal.aborted) {
      exit(exitCodes.interrupted);
      return;
    }
    controller.abort(interrupted(name));
    say('Stopping: running steps are finished or cut cleanly. Once more stops at once; running the same command again goes on.');
  };
  for (const name of signals) process.on(name, on);
  return {
    signal: controller.signal,
    stopping: stopping.signal,
    release: () => {
      for (const name of signals) process.off(name, on);
    },
  };
};
