import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, UnreachableError } from '../errors.ts';
import type { KubeApi } from './client.ts';
import { KubeRefusal } from './http.ts';
import type { KubeObject } from './objects.ts';
import { type SharedPoll, sharedPoll } from './wait.ts';

/** A look is told of a change after this time, and without one after that: what was refused is asked for again. */
const coalesceMs = 100;
const quietMs = 400;
/** A watch ends then and goes on: a server that is frozen is noticed within twice this time. */
const watchSeconds = 20;
const silentMs = 5_000;
const againMs = 300;

/** What is kept of all objects of a kind. `T`: of each. */
export interface Kept<T, View> {
  read(object: KubeObject): T;
  replace(all: readonly T[]): void;
  put(one: T): void;
  remove(one: T): void;
  readonly view: View;
}

export interface Followed {
  readonly apiVersion: string;
  readonly kind: string;
  /** Default: all. */
  readonly namespace?: string;
  /** For the error. */
  readonly what: string;
}

/**
 * All objects of a kind for all who ask, however many: one LIST, and then a watch that begins with the first question and ends with `signal`. Where
 * the API is away for a while nothing old is told: who asks gets an UnreachableError, and asks again. `latest`: at once what is known, if anything is.
 */
export function watchAll<T, View>(
  api: Pick<KubeApi, 'pages' | 'watch'>,
  { apiVersion, kind, namespace, what }: Followed,
  kept: Kept<T, View>,
  signal: AbortSignal,
): SharedPoll<View> & { latest(): View | undefined } {
  let broken: unknown;
  let [started, current, changed] = [false, false, false];

  const listed = async (): Promise<string> => {
    const all: T[] = [];
    let version = '';
    for await (const page of api.pages(apiVersion, kind, { signal, ...(namespace !== undefined && { namespace }) })) {
      for (const item of page.items) all.push(kept.read(item));
      version = page.resourceVersion;
    }
    kept.replace(all);
    return version;
  };
  const from = (resourceVersion: string) => ({ namespace, resourceVersion, seconds: watchSeconds, signal });
  const follow = async (): Promise<void> => {
    for (let version = ''; ; ) {
      const began = performance.now();
      try {
        if (version === '') version = await listed();
        [current, changed, broken] = [true, true, undefined];
        for await (const event of api.watch(apiVersion, kind, from(version))) {
          if (event.type === 'BOOKMARK') {
            version = event.resourceVersion;
            continue;
          }
          if (event.type === 'DELETED') kept.remove(kept.read(event.object));
          else kept.put(kept.read(event.object));
          version = event.object.metadata.resourceVersion ?? version;
          changed = true;
        }
        // Ended by the server, as agreed: what comes next goes on from there.
        if (performance.now() - began > againMs) continue;
      } catch (error) {
        signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        // Cut, or too old (410): a list says when it is as of now again, a watch that goes on does not.
        [broken, current, version] = [error, false, ''];
      }
      await sleep(againMs, undefined, { signal });
    }
  };
  const settled = async (): Promise<View> => {
    if (!started)
      follow().catch((error: unknown) => {
        [broken, current] = [error, false];
      });
    started = true;
    const [start, quiet] = [performance.now(), performance.now() + quietMs];
    while (!current || (!changed && performance.now() < quiet)) {
      signal.throwIfAborted();
      if (broken !== undefined && !isPassing(broken)) throw broken;
      if (performance.now() - start > silentMs)
        throw new UnreachableError({ what: `${what} are not seen`, why: messageOf(broken ?? 'no answer') });
      await sleep(20, undefined, { signal });
    }
    changed = false;
    return kept.view;
  };
  return { ...sharedPoll(settled, () => coalesceMs), latest: () => (current ? kept.view : undefined) };
}

const isPassing = (error: unknown): boolean =>
  error instanceof UnreachableError || (error instanceof KubeRefusal && error.status !== 401 && error.status !== 403);
