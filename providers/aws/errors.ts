import { setTimeout as sleep } from 'node:timers/promises';

/** What AWS's errors mean for what to do next. */
interface ServiceError {
  readonly name: string;
  readonly status: number | undefined;
}

function serviceError(error: unknown): ServiceError | undefined {
  if (!(error instanceof Error)) return undefined;
  const metadata: unknown = '$metadata' in error ? error.$metadata : undefined;
  const status =
    typeof metadata === 'object' &&
    metadata !== null &&
    'httpStatusCode' in metadata &&
    typeof metadata.httpStatusCode === 'number'
      ? metadata.httpStatusCode
      : undefined;
  return { name: error.name, status };
}

/** AWS's code of an error (`InvalidVpcID.NotFound`, `DuplicateListener`), without the ending that some services give it; or the error's name. */
export const codeOf = (error: unknown): string => (serviceError(error)?.name ?? '').replace(/(Exception|Fault)$/, '');

/** The answer's HTTP status: a HEAD has nothing else to say. */
export const statusOf = (error: unknown): number | undefined => serviceError(error)?.status;

/** The thing is not there (or not visible yet). */
export const isNotFound = (error: unknown): boolean =>
  /NotFound|NoSuch(Entity|Key|Bucket|HostedZone)|^(LoadBalancer|TargetGroup|Listener)NotFound|does not exist/.test(
    codeOf(error),
  ) ||
  (codeOf(error) === 'ValidationError' &&
    error instanceof Error &&
    /not found|cannot be found|does not exist/i.test(error.message));

const throttles =
  /^(Throttl|RequestLimitExceeded|TooManyRequests|SlowDown|PriorRequestNotComplete|RequestThrottled|BandwidthLimit)/;
export const isThrottle = (error: unknown): boolean => throttles.test(codeOf(error));

/** AWS has said no: nothing was made. Anything else (a cut connection, a time-out, a 5xx) leaves open whether it was. */
export function isRefusal(error: unknown): boolean {
  const found = serviceError(error);
  if (found === undefined) return false;
  return isThrottle(error) || (found.status !== undefined && found.status >= 400 && found.status < 500);
}

/** How often the SDK sent the request. */
export function attemptsOf(error: unknown): number {
  if (!(error instanceof Error) || !('$metadata' in error)) return 1;
  const metadata = error.$metadata;
  return typeof metadata === 'object' && metadata !== null && 'attempts' in metadata && typeof metadata.attempts === 'number'
    ? metadata.attempts
    : 1;
}

/** For deletes: what is gone is deleted. */
export function unlessNotFound(error: unknown): undefined {
  if (!isNotFound(error)) throw error;
  return undefined;
}

const retryMs = 500;
/** Calls again while AWS answers with one of these codes (DependencyViolation, ResourceInUse): until the step's own time is over. */
export async function retrying<T>(
  codes: readonly string[],
  { signal, progress }: { readonly signal: AbortSignal; progress(message: string): void },
  call: () => Promise<T>,
): Promise<T> {
  for (let waits = retryMs; ; waits = Math.min(waits * 1.5, 5000)) {
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (!codes.includes(codeOf(error))) throw error;
      progress(error instanceof Error ? error.message : codeOf(error));
    }
    await sleep(waits, undefined, { signal });
  }
}
