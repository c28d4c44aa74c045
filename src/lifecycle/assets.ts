import { join } from 'node:path';
import { openAssets } from '../assets/assets.ts';
import type { Asset } from '../assets/catalogue.ts';
import { storedAssetsAddress } from '../assets/types/uploaded.ts';
import { chosenOf } from '../plan/make.ts';
import type { Plan } from '../plan/plan.ts';
import type { Emit } from '../run/events.ts';
import type { AssetPort } from './opened.ts';

export interface AssetPortOptions {
  readonly directory: string;
  readonly mirror: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly emit: Emit;
}

/** The asset cache as `up` needs it: everything that the bundles name lies there, or the command fails before it touches a machine. */
export function openAssetPort({ directory, mirror, env, emit }: AssetPortOptions): AssetPort {
  const assets = openAssets({ directory, env, emit, ...(mirror !== undefined && { mirror }) });
  return {
    async ensure(wanted, signal, options) {
      await assets.ensure(wanted, signal, options);
    },
    file: (path) => join(directory, path),
  };
}

/** What the hosts of these bundles need, each once. */
export const assetsOfBundles = (bundles: Iterable<{ readonly assets: readonly Asset[] }>): readonly Asset[] => [
  ...new Map([...bundles].flatMap((bundle) => bundle.assets).map((asset) => [asset.path, asset])).values(),
];

/** Those that the plan is going to upload: whoever heals a cluster whose store has them needs none. */
export function assetsToUpload(assets: readonly Asset[], plan: Plan): readonly Asset[] {
  const change = chosenOf(plan).find(({ address }) => address === storedAssetsAddress);
  if (!change || change.action === 'create') return change ? assets : [];
  const paths = new Set(change.fields.map(({ path }) => path.replace(/^paths\./, '')));
  return assets.filter(({ path }) => paths.has(path));
}
