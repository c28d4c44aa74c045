/** A number, or a share such as `25%`, as cluster.yaml has them. */
type Amount = number | string;

/** How many of a pool's machines may be away, and how many more there may be, at once. */
export interface Amounts {
  readonly maxUnavailable: number;
  readonly maxSurge: number;
}

/**
 * Shares as numbers, as Kubernetes does for Deployments (k8s.io/kubernetes: pkg/controller/deployment/util, ResolveFenceposts): surge rounds up, unavailable
 * down, and if both come out as 0 one may be away. More than the pool has machines comes down to that.
 */
export function resolveAmounts(
  size: number,
  { maxUnavailable, maxSurge }: { readonly maxUnavailable: Amount; readonly maxSurge: Amount },
): Amounts {
  const most = Math.max(size, 1);
  const surge = Math.min(resolve(maxSurge, size, Math.ceil), most);
  const away = Math.min(resolve(maxUnavailable, size, Math.floor), most);
  return { maxUnavailable: surge === 0 ? Math.max(away, 1) : away, maxSurge: surge };
}

/** How many nodes may drain at once in all: a share rounds up, so that there is always one. */
export const resolveCap = (workers: number, maxDrains: Amount): number => Math.max(resolve(maxDrains, workers, Math.ceil), 1);

const resolve = (amount: Amount, size: number, round: (share: number) => number): number =>
  typeof amount === 'number' ? amount : round((size * Number.parseInt(amount, 10)) / 100);
