/** A promise with an end: rejects after `ms`, or when the signal aborts. */
export function bounded<T>(
  signal: AbortSignal | undefined,
  ms: number,
  late: string,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new Error(late)), ms);
  const abort = () => reject(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  try {
    start(resolve, reject);
  } catch (error) {
    reject(error);
  }
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  });
}
/** The promise's result, unless the signal aborts first. */
export const raceAbort = <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> =>
  bounded(signal, 2 ** 31 - 1, 'never', (resolve, reject) => promise.then(resolve, reject));
