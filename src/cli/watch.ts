import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes, UserError } from '../errors.ts';

export interface Watching<D> {
  look(): Promise<D>;
  draw(data: D): void;
  /** A look that found nobody to ask: said, and tried again. */
  missed(error: UserError): void;
  readonly everyMs: number;
  readonly signal: AbortSignal;
}

/** Looks again and again. Ctrl-C is its ordinary end. Throws what no further look would mend. */
export async function watch<D>({ look, draw, missed, everyMs, signal }: Watching<D>): Promise<void> {
  while (!signal.aborted) {
    try {
      draw(await look());
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof UserError) || error.exitCode !== exitCodes.unreachable) throw error;
      missed(error);
    }
    // The end of the sleep by Ctrl-C is the end of the loop.
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
  }
}

/** From the upper left corner, each line to its end, and nothing below: no flicker, unlike clearing first. */
export const redraw = (text: string): string => `\u001b[H${text.replaceAll('\n', '\u001b[K\n')}\u001b[J`;
export const clearScreen = '\u001b[2J';
