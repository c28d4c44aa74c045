/**
 * The work's result; once the signal has aborted and `graceMs` have passed, the signal's reason: whatever does not listen to its signal
 * (a daemon that took a call and never answers) keeps nobody waiting for ever.
 */
export async function endsWith<T>(work: Promise<T>, signal: AbortSignal, graceMs = 0): Promise<T> {
  const late = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const aborted = (): void => {
    timer = setTimeout(() => late.reject(signal.reason), graceMs);
  };
  if (signal.aborted) aborted();
  else signal.addEventListener('abort', aborted, { once: true });
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  }
}
