import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Client } from 'ssh2';
import { messageOf, UnreachableError, UserError } from '../errors.ts';
import { nameOfBastion } from './access.ts';
import { raceAbort } from './bounded.ts';
import { type Connection, forward, shake } from './handshake.ts';
import type { Access, Endpoint, Host, Hosts } from './host.ts';
import { hostOf } from './session.ts';
import { tunnelOf } from './tunnel.ts';

// ssh2 itself and not node-ssh: everything goes through one multiplexed connection to the bastion, so we need forwardOut as the
// socket of the next client, a hostVerifier that knows the pinned key, and each command's channel, none of which node-ssh adds to.

export interface HostsOptions {
  /** Live: machines appear in it during a run. */
  readonly access: () => Access;
  /** OpenSSH PEM out of the sealed store; asked for once, on the first connection. */
  readonly privateKey: () => Promise<string>;
  readonly signal?: AbortSignal;
  readonly now?: () => number;
}

/** sshd's MaxStartups drops bursts of handshakes, and ten at once only slow each other down on two cores. */
const handshakesAtOnce = 6;
const retryMs = 150;

/** SSH to the machines of one cluster: one connection to the bastion, one a host through it, made on first use and kept. */
export function openHosts({
  access,
  privateKey,
  signal: ending = new AbortController().signal,
  now = Date.now,
}: HostsOptions): Hosts {
  const handshake = pLimit(handshakesAtOnce);
  const connections = new Map<string, { readonly made: Promise<Connection>; to: string }>();
  const hosts = new Map<string, Host>();
  const clients = new Set<Client>();
  let key: Promise<string> | undefined;
  let open = true;

  /**
   * One connection under a name; a lost or failed one makes way for the next, and so does one to a machine that was made anew since: `to` says which, by
   * its host key. Empty: it is not there yet, and waited for.
   */
  function connection(name: string, to: () => string, make: () => Promise<Connection>): Promise<Connection> {
    const existing = connections.get(name);
    if (existing && (existing.to === '' || existing.to === to())) return existing.made;
    // Nothing that it carries reaches anybody any more.
    existing?.made.then(({ client }) => client.destroy()).catch(() => undefined);
    const entry = { made: make(), to: to() };
    connections.set(name, entry);
    const forget = () => {
      if (connections.get(name) === entry) connections.delete(name);
    };
    entry.made.then(({ client }) => {
      entry.to = to();
      client.once('end', forget).once('close', forget);
    }, forget);
    return entry.made;
  }
  const keyOf = (endpoint: Endpoint | undefined): string =>
    endpoint ? `${endpoint.address} ${endpoint.port} ${endpoint.hostKey}` : '';

  async function dial(name: string, endpoint: Endpoint, via: Connection | undefined, signal: AbortSignal): Promise<Connection> {
    key ??= privateKey();
    const material = await key;
    return handshake(async () => {
      signal.throwIfAborted();
      const sock = via && (await forward(via.client, endpoint, signal));
      return shake(name, endpoint, sock, material, clients, signal);
    });
  }

  // A connection in the making is shared by all who ask for it, so no single caller's signal ends it.
  const bastion = (waitMs: number) =>
    connection(
      '\0bastion',
      () => keyOf(access().bastion),
      () =>
        patiently('bastion', waitMs, ending, now, () => {
          const { bastion: endpoint, hosts } = access();
          const seen = hosts.get('bastion');
          if (!endpoint) throw new NotYet(seen?.state === 'unreachable' ? seen.why : 'there is no bastion yet');
          return dial('bastion', endpoint, undefined, ending);
        }),
    );

  const connectTo = (name: string, waitMs: number) => {
    const until = now() + waitMs;
    const to = () => {
      const seen = access().hosts.get(name);
      return keyOf(seen?.state === 'reachable' ? seen.endpoint : undefined);
    };
    return connection(name, to, () =>
      patiently(name, waitMs, ending, now, async () => {
        const { hosts, bastion: door } = access();
        const host = hosts.get(name);
        if (!host) throw new NotYet('no such machine yet');
        if (host.state === 'unreachable') throw new NotYet(host.why);
        const through = await bastion(Math.max(0, until - now()));
        if (door && door.address === host.endpoint.address && door.port === host.endpoint.port) return through;
        return dial(name, host.endpoint, through, ending);
      }),
    );
  };

  /** Somebody else may have begun this connection with less patience than this caller has. */
  async function connected(name: string, waitMs: number, signal: AbortSignal): Promise<Connection> {
    const until = now() + waitMs;
    for (;;) {
      try {
        return await raceAbort(connectTo(name, Math.max(0, until - now())), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof UnreachableError) || now() + retryMs > until) throw error;
      }
    }
  }

  return {
    access,
    async get(name, { signal, waitMs = 30_000 } = {}) {
      if (!open) throw new Error(`connection to ${name} asked for after close`);
      const all = AbortSignal.any([signal, ending].filter((s) => s !== undefined));
      await connected(name, waitMs, all);
      let host = hosts.get(name);
      if (!host) {
        host = hostOf(name, () => connected(name, 5_000, ending));
        hosts.set(name, host);
      }
      return host;
    },
    tunnel(host, port) {
      if (!open) throw new Error(`tunnel to ${host} asked for after close`);
      return tunnelOf(async (leaving) => {
        const signal = AbortSignal.any([leaving, ending]);
        const { client, closed } = await raceAbort(bastion(0), signal);
        const door = nameOfBastion(access());
        try {
          return {
            channel: await forward(client, { address: host, port }, signal),
            lost: () => (open ? lostBastion(door, closed()) : undefined),
          };
        } catch (error) {
          signal.throwIfAborted();
          const why = messageOf(closed() ?? error);
          throw new UnreachableError({ what: `no way from the bastion to ${host}:${port}`, where: door, why }, { cause: error });
        }
      });
    },
    async close() {
      open = false;
      // Hosts first: their bytes go through the bastion.
      for (const client of [...clients].reverse()) client.end();
      await sleep(0);
      for (const client of clients) client.destroy();
      clients.clear();
    },
  };
}

/** What becomes of its tunnels; not of those that end because we close. */
const lostBastion = (door: string, why: Error | undefined): Error | undefined =>
  why && new UnreachableError({ what: 'the SSH connection was lost', where: door, why: messageOf(why) }, { cause: why });

/** Not an error yet: a machine in the making, whose sshd may answer in a moment. */
class NotYet extends Error {}

/** Tries again every 150 ms, as a just-made machine's sshd needs about a second. What a person must mend ends it at once. */
async function patiently<T>(
  name: string,
  waitMs: number,
  signal: AbortSignal,
  now: () => number,
  attempt: () => Promise<T>,
): Promise<T> {
  const until = now() + waitMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted || error instanceof UserError) throw error;
      if (now() + retryMs > until) {
        const waited = waitMs >= 1000 ? ` within ${Math.round(waitMs / 1000)} s` : '';
        throw new UnreachableError({ what: `no SSH connection${waited}`, where: name, why: messageOf(error) }, { cause: error });
      }
    }
    await sleep(retryMs, undefined, { signal });
  }
}
