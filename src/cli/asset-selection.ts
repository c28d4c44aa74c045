import { join } from 'node:path';
import { Flags } from '@oclif/core';
import type { Assets } from '../assets/assets.ts';
import type { Asset } from '../assets/catalogue.ts';
import { exitCodes, UserError } from '../errors.ts';
import type { Emit } from '../run/events.ts';
import type { OpenInput } from './open.ts';

/** What all `assets` commands take: of which versions, and which of their assets. */
export const selectionFlags = {
  kubernetes: Flags.string({
    summary: 'Assets of this Kubernetes version, in place of the one in cluster.yaml; may be repeated',
    helpValue: 'VERSION',
    multiple: true,
  }),
};
export const mirrorFlag = Flags.string({
  summary: 'Fetch from this mirror first, in place of the one in cluster.yaml',
  helpValue: 'DIRECTORY|URL',
});

export interface Selection {
  readonly assets: Assets;
  readonly wanted: readonly Asset[];
}

/** Opens the cache, and says which assets are meant. cluster.yaml is read only where flags do not say all. */
export async function selectAssets(
  { file, env }: OpenInput,
  emit: Emit,
  flags: { readonly kubernetes: readonly string[] | undefined; readonly mirror?: string | undefined },
  names: readonly string[],
): Promise<Selection> {
  const { assetsOf, forProvider, knownKubernetes, versionsAsked, versionsFor } = await import('../assets/catalogue.ts');
  const { openAssets } = await import('../assets/assets.ts');
  let { mirror } = flags;
  // Named ones may be of any provider; all of them are those of the cluster's.
  const anyProvider = names.length > 0 ? { aws: {} } : {};
  let versions = (flags.kubernetes ?? []).map((version) => forProvider(versionsFor(version), anyProvider));
  if (versions.length === 0) {
    const { loadCluster } = await import('../config/load.ts');
    const { cluster } = await loadCluster(file);
    versions = [forProvider(versionsAsked(cluster), anyProvider)];
    mirror ??= cluster.assets.mirror;
  }
  const all = new Map(versions.flatMap(assetsOf).map((asset) => [asset.path, asset]));
  const known = new Set([...all.values()].map(({ name }) => name));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new UserError(
      {
        what: `No asset is named ${unknown}`,
        why: `Assets: ${[...known].join(', ')}`,
        next: `Kubernetes versions are given by flag: --kubernetes ${knownKubernetes[0]}`,
      },
      exitCodes.usage,
    );
  }
  return {
    assets: openAssets({
      directory: join(env.cacheDir, 'assets'),
      emit,
      env: env.variables,
      ...(mirror === undefined ? {} : { mirror }),
    }),
    wanted: [...all.values()].filter(({ name }) => names.length === 0 || names.includes(name)),
  };
}
