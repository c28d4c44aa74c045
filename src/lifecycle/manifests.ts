import type { Addon } from '../components/addons.ts';
import { manifestKey } from '../config/manifest-object.ts';
import type { Manifest } from '../config/manifests.ts';
import { exitCodes, UserError } from '../errors.ts';
import { recordKey } from '../kube/manifests.ts';

/** Throws UserError (config) for a manifest with an object that is Slipway's own: the two would take it from each other, run by run. */
export function refuseOwn(manifests: readonly Manifest[], addons: readonly Addon[]): void {
  if (manifests.length === 0) return;
  const own = new Map<string, string>([[recordKey, 'Slipway itself']]);
  for (const { name, objects, certificates } of addons) {
    const addon = `the addon ${name}`;
    for (const { apiVersion, kind, metadata } of objects)
      own.set(manifestKey(apiVersion, kind, metadata.namespace, metadata.name), addon);
    for (const { secret } of certificates) own.set(manifestKey('v1', 'Secret', secret.namespace, secret.name), addon);
  }
  const found = manifests.flatMap(({ key, where }) => {
    const owner = own.get(key);
    return owner === undefined ? [] : [{ where, what: `${key} belongs to ${owner}` }];
  });
  const [first] = found;
  if (!first) return;
  const next = 'give it another name or remove it; metrics-server can be left out (addons.metricsServer: false)';
  throw new UserError(
    found.length === 1
      ? { ...first, next }
      : {
          what: `${found.length} objects of addons.manifests are Slipway's own`,
          why: found.map(({ where, what }) => `${where}: ${what}`).join('\n'),
          next,
        },
    exitCodes.config,
  );
}
