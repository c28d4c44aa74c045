import type { KubeClients } from './clients.ts';

const versionPattern = /"gitVersion":\s*"v?([^"]+)"/;
/** Who looks is not kept by one that hangs. */
const withinMs = 2_000;

/**
 * The version of each API server, asked past the balancer, by its master: whoever answers behind it says nothing of the others. Undefined: that one gives no
 * answer, or none that says its version.
 */
export function readServerVersions(
  clients: Pick<KubeClients, 'servers'>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string | undefined>> {
  return clients.servers(async (server) => {
    try {
      return versionPattern.exec(await server.raw('/version', { signal, timeoutMs: withinMs }))?.[1];
    } catch (error) {
      // Also one that refuses: it has not said it either.
      signal.throwIfAborted();
      if (error instanceof Error) return undefined;
      throw error;
    }
  });
}
