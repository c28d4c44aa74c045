import { type Column, table } from './table.ts';
import type { View } from './view.ts';

export interface AssetRow {
  readonly path: string;
  readonly name: string;
  readonly version: string;
  /** Absent: not in the cache, or not as it was put there. */
  readonly cached?: { readonly file: string; readonly sha256: string; readonly size: number; readonly source: string };
}
export interface AssetListing {
  readonly directory: string;
  readonly assets: readonly AssetRow[];
}

type Cached = NonNullable<AssetRow['cached']>;

/** The rows of a listing: each asset with what the cache has of it. */
export const listingOf = (
  directory: string,
  assets: readonly Omit<AssetRow, 'cached'>[],
  found: ReadonlyMap<string, Cached>,
): AssetListing => ({
  directory,
  assets: assets.map((asset) => {
    const cached = found.get(asset.path);
    return cached ? { ...asset, cached } : asset;
  }),
});

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

const columns: readonly Column<AssetRow>[] = [
  { title: 'ASSET', text: ({ path }) => path, flexible: true },
  { title: 'SIZE', text: ({ cached }) => (cached ? megabytes(cached.size) : '-'), align: 'right' },
  { title: 'SOURCE', text: ({ cached }) => cached?.source ?? '-' },
  {
    title: 'SHA256',
    text: ({ cached }) => cached?.sha256.slice(0, 12) ?? 'missing',
    paint: ({ cached }, { style }) => (cached ? style.dim : style.yellow),
  },
];

/** Assets and what the cache has of them. */
export const assetsView: View<AssetListing> = {
  human: ({ directory, assets }, look) => {
    const had = assets.filter(({ cached }) => cached);
    const size = had.reduce((sum, { cached }) => sum + (cached?.size ?? 0), 0);
    return `${table(columns, assets, look)}\n\n${had.length} of ${assets.length} in ${directory}, ${megabytes(size)}`;
  },
  json: (listing) => ({ formatVersion: 1, ...listing }),
};
