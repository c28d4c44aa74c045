import { createServer } from 'node:net';
import { UserError } from '../../src/errors.ts';
import { sha256 } from '../../src/plan/canonical.ts';

/** Below the ports that Linux gives to outgoing connections (32768), above those that programs are known by. */
const first = 20_000;
const count = 10_000;

/**
 * The port on 127.0.0.1 for that purpose: the same one each time where it is free, so that a kubeconfig survives `down` and `up`.
 * Docker would choose another at every start.
 */
export async function choosePort(wanted: number, purpose: string): Promise<number> {
  if (wanted > 0) return wanted;
  const start = Number.parseInt(sha256(purpose).slice(0, 8), 16) % count;
  for (let i = 0; i < 50; i++) {
    const port = first + ((start + i) % count);
    if (await isFree(port)) return port;
  }
  throw new UserError({
    what: `50 ports from ${first + start} on 127.0.0.1 are all taken`,
    next: 'set provider.local.apiPort and sshPort',
  });
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
