/**
 * One at a time, for all who ask: whoever asks while it runs shares the next run with all others who do. So an answer is never older than its question, and however
 * many ask, work and time are those of one.
 */
export function coalesced<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  const begin = async (): Promise<T> => {
    await running.catch(() => undefined);
    next = undefined;
    const own = work();
    running = own;
    return own;
  };
  return () => {
    next ??= begin();
    return next;
  };
}
