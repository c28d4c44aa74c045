import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Api } from './credentials.ts';
import type { Tally } from './outcome.ts';
import { begin, isGood, outcomeOf } from './request.ts';

/** What became of one stream. */
export interface Watched {
  /** It ended and was opened again from where it was: that is what clients do. */
  readonly reconnects: number;
  /** Openings that were answered that the place is too old: the client lists anew. */
  readonly relists: number;
  readonly events: number;
}

const openingMs = 10_000;
const metaSchema = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
const lineSchema = z.union([
  z.object({ type: z.literal('ERROR'), object: z.object({ code: z.number() }) }),
  z.object({ type: z.string(), object: metaSchema }),
]);

/** Lists, then watches from there until `signal`; a stream that ends is opened again. An opening that fails is counted as a failure. */
export async function watchSteadily({ server, tls }: Api, path: string, tally: Tally, signal: AbortSignal): Promise<Watched> {
  let [opened, relists, events] = [0, -1, 0];
  let place: string | undefined;
  while (!signal.aborted) {
    const at = Date.now();
    const problem = await once();
    if (problem !== undefined && !signal.aborted) tally.fail({ at, ms: Date.now() - at, kind: 'api watch', text: problem });
    await sleep(100, undefined, { signal }).catch(() => undefined);
  }
  return { reconnects: Math.max(0, opened - 1), relists: Math.max(0, relists), events };

  /** One list where it is needed, and one stream to its end; what kept it from being opened. */
  async function once(): Promise<string | undefined> {
    if (place === undefined) {
      const list = { url: new URL(`${path}?limit=1`, server), tls, signal: AbortSignal.timeout(openingMs) };
      const problem = await outcomeOf(list, (text) => {
        place = metaSchema.parse(JSON.parse(text)).metadata.resourceVersion;
      });
      if (problem !== undefined) return problem;
      relists++;
    }
    const url = new URL(`${path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=600&resourceVersion=${place}`, server);
    const opening = new AbortController();
    const late = setTimeout(() => opening.abort(), openingMs);
    const begun = await begin({ url, tls, signal: AbortSignal.any([signal, opening.signal]) });
    clearTimeout(late);
    if ('failed' in begun) return begun.failed;
    const { statusCode } = begun.answer;
    if (statusCode === 410) place = undefined;
    else if (isGood(statusCode)) opened++;
    let rest = '';
    begun.answer.setEncoding('utf8');
    try {
      for await (const data of begun.answer) {
        const lines = (rest + String(data)).split('\n');
        rest = lines.pop() ?? '';
        if (isGood(statusCode)) for (const line of lines) take(line);
      }
    } catch {
      // Cut: it was open, and may be opened again.
    }
    return isGood(statusCode) || statusCode === 410 ? undefined : `${statusCode} ${rest.slice(0, 500)}`;
  }
  function take(line: string): void {
    const { type, object } = lineSchema.parse(JSON.parse(line));
    if ('metadata' in object) {
      if (type !== 'BOOKMARK') events++;
      place = object.metadata.resourceVersion;
    } else if (object.code === 410) place = undefined;
  }
}
