import { UserError } from '../errors.ts';
import type { Amount } from '../plan/resource.ts';
import { mustSucceed } from './converge.ts';
import type { Host } from './host.ts';
import { quote } from './quote.ts';
import { script } from './scripts.ts';

const withinMs = 600_000;

/**
 * Has the host bring assets from the cluster's store to /opt/slipway, with its own identity, and put in place only what has its digest
 * there too. Several at once do no harm. `digests`: what the store has, by path.
 */
export async function fetchAssets(
  host: Host,
  paths: readonly string[],
  digests: ReadonlyMap<string, string>,
  { signal, progress }: { readonly signal?: AbortSignal; readonly progress?: (message: string, amount?: Amount) => void } = {},
): Promise<void> {
  const lines = paths.map((path) => {
    const sha256 = digests.get(path);
    if (sha256 === undefined)
      throw new UserError({
        what: `the store does not have ${path}`,
        where: host.name,
        next: 'run the same command again: it uploads what is missing',
      });
    return `want ${sha256} ${quote(path)}\n`;
  });
  progress?.(`fetches ${paths.length} files from the store`);
  const stdin = `${await script('fetch')}\n${lines.join('')}fetched\n`;
  const result = await host.exec('sh -s', { stdin, timeoutMs: withinMs, ...(signal && { signal }) });
  mustSucceed(host.name, 'assets could not be fetched from the store', result);
}
