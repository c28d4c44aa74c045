import type { Bundle, BundleFile } from './bundle.ts';

/** What one program adds to the bundles of the roles that run it. */
export type Part = Partial<Omit<Bundle, 'name'>>;

/** The sum of parts. The same file, asset or certificate from two parts is one; two different ones of one name are a bug. */
export function combine(name: string, parts: readonly Part[]): Bundle {
  return {
    name,
    files: unique(
      parts.flatMap((part) => part.files ?? []),
      (file) => file.path,
    ),
    units: unique(
      parts.flatMap((part) => part.units ?? []),
      (unit) => unit.name,
    ),
    assets: unique(
      parts.flatMap((part) => part.assets ?? []),
      (asset) => asset.path,
    ),
    certificates: unique(
      parts.flatMap((part) => part.certificates ?? []),
      (certificate) => certificate.name,
    ),
    probes: unique(
      parts.flatMap((part) => part.probes ?? []),
      (probe) => probe.name,
    ),
  };
}

function unique<T>(items: readonly T[], keyOf: (item: T) => string): readonly T[] {
  const byKey = new Map<string, T>();
  for (const item of items) {
    const before = byKey.get(keyOf(item));
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(item)) {
      throw new Error(`Two parts of a bundle differ about ${keyOf(item)}`);
    }
    byKey.set(keyOf(item), item);
  }
  return [...byKey.values()];
}

export const textFile = (path: string, text: string, mode = '0644'): BundleFile => ({ path, mode, content: { text } });
