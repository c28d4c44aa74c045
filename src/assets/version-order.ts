const parts = (version: string): readonly number[] => version.replace(/^v/, '').split(/[.+-]/).slice(0, 3).map(Number);

/** `1.36.3` → 36. NaN for what is no version. */
export const minorOf = (version: string): number => parts(version)[1] ?? Number.NaN;
/** `1.36.3` → `1.36`. */
export const minorName = (version: string): string => parts(version).slice(0, 2).join('.');

/** Negative: `a` is the older. By major, minor and patch; what comes after them is of no account. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  return [0, 1, 2].map((i) => (left[i] ?? 0) - (right[i] ?? 0)).find((difference) => difference !== 0) ?? 0;
}
export const oldestFirst = (versions: readonly string[]): readonly string[] => versions.toSorted(compareVersions);
