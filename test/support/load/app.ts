import { steadily, Tally, type Traffic } from './outcome.ts';
import { outcomeOf } from './request.ts';

const timeoutMs = 5_000;

/** A client of the application: twenty requests a second, each on a new connection, nothing retried. */
export function startAppLoad(url: URL, perSecond = 20): { stop(): Promise<Traffic> } {
  const tally = new Tally();
  const steady = steadily(1000 / perSecond, async () => {
    await tally.count('app', () => outcomeOf({ url, signal: AbortSignal.timeout(timeoutMs) }));
  });
  return {
    async stop() {
      await steady.stop();
      return tally.traffic;
    },
  };
}
