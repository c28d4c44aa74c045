import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit, { type LimitFunction } from 'p-limit';
import { type Algorithms, Client, type ClientChannel } from 'ssh2';
import { exitCodes, messageOf, UnreachableError, UserError } from '../errors.ts';
import type { Access, Endpoint, ExecResult, Host, Hosts } from './host.ts';
import { interact } from './interactive.ts';
import { quote } from './quote.ts';

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

/** What node:crypto does natively, and Debian's sshd offers: a whole handshake costs a few milliseconds. */
const algorithms: Algorithms = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
  serverHostKey: ['ssh-ed25519'],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'],
  compress: ['none'],
};
/** sshd's MaxStartups drops bursts of handshakes, and ten at once only slow each other down on two cores. */
const handshakesAtOnce = 6;
/** sshd's MaxSessions is 10 a connection; two stay for `ssh` and streams that outlive their reader. */
const channelsAtOnce = 8;
const retryMs = 150;
const attemptMs = 10_000;
const keepalive = { keepaliveInterval: 3_000, keepaliveCountMax: 2 };
const maxOutput = 64 * 1024 * 1024;

interface Connection {
  readonly client: Client;
  readonly closed: () => Error | undefined;
}

/** SSH to the machines of one cluster: one connection to the bastion, one a host through it, made on first use and kept. */
export function openHosts({
  access,
  privateKey,
  signal: ending = new AbortController().signal,
  now = Date.now,
}: HostsOptions): Hosts {
  const handshake = pLimit(handshakesAtOnce);
  const connections = new Map<string, Promise<Connection>>();
  const hosts = new Map<string, Host>();
  const clients = new Set<Client>();
  let key: Promise<string> | undefined;
  let open = true;

  /** One connection under a name; a lost or failed one makes way for the next. */
  function connection(name: string, make: () => Promise<Connection>): Promise<Connection> {
    const existing = connections.get(name);
    if (existing) return existing;
    const made = make();
    connections.set(name, made);
    const forget = () => {
      if (connections.get(name) === made) connections.delete(name);
    };
    made.then(({ client }) => client.once('close', forget), forget);
    return made;
  }

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
    connection('\0bastion', () =>
      patiently('bastion', waitMs, ending, now, () => {
        const endpoint = access().bastion;
        if (!endpoint) throw new NotYet('there is no bastion yet');
        return dial('bastion', endpoint, undefined, ending);
      }),
    );

  const connectTo = (name: string, waitMs: number) => {
    const until = now() + waitMs;
    return connection(name, () =>
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

function forward(client: Client, to: Endpoint, signal: AbortSignal): Promise<ClientChannel> {
  return bounded(signal, attemptMs, `${to.address}:${to.port} does not answer the bastion`, (resolve, reject) => {
    client.forwardOut('127.0.0.1', 0, to.address, to.port, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
}

function shake(
  name: string,
  endpoint: Endpoint,
  sock: ClientChannel | undefined,
  privateKey: string,
  clients: Set<Client>,
  signal: AbortSignal,
): Promise<Connection> {
  const client = new Client();
  // Each session in the making listens for the end of the connection.
  client.setMaxListeners(channelsAtOnce + 16);
  let wrongKey: UserError | undefined;
  let lost: Error | undefined;
  clients.add(client);
  client.once('close', () => {
    lost ??= new Error('the connection was closed');
    clients.delete(client);
  });
  const ready = bounded<Connection>(signal, attemptMs, 'no SSH handshake', (resolve, reject) => {
    client.on('error', (error) => {
      lost ??= error;
      if (!wrongKey && error.level === 'client-authentication') reject(refused(name, endpoint));
      else reject(wrongKey ?? error);
    });
    client.once('close', () => reject(wrongKey ?? new Error('sshd closed the connection')));
    // Small packets both ways: with Nagle's algorithm each command waits for a delayed acknowledgement or two (40 ms each).
    if (!sock) client.once('connect', () => client.setNoDelay(true));
    client.once('ready', () => resolve({ client, closed: () => lost }));
    client.connect({
      ...(sock ? { sock } : { host: endpoint.address, port: endpoint.port }),
      username: endpoint.user,
      privateKey,
      algorithms,
      readyTimeout: 0,
      ...keepalive,
      hostVerifier: (found: Buffer) => {
        const pinned = Buffer.from(endpoint.hostKey.trim().split(/\s+/)[1] ?? '', 'base64');
        if (found.equals(pinned)) return true;
        wrongKey = changedKey(name, pinned, found);
        return false;
      },
    });
  });
  ready.catch(() => client.destroy());
  return ready;
}

const fingerprint = (key: Buffer): string => `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;

const changedKey = (name: string, pinned: Buffer, found: Buffer): UserError =>
  new UserError({
    what: 'the SSH host key is not the one that is pinned',
    where: name,
    why: `pinned ${fingerprint(pinned)}, found ${fingerprint(found)}: another machine answers in its place`,
    next: 'find out who answers at that address; if the machine was replaced by hand, remove it and run `cluster up` again',
  });
const refused = (name: string, endpoint: Endpoint): UserError =>
  new UserError(
    {
      what: `sshd refuses the cluster's SSH key for ${endpoint.user}`,
      where: name,
      why: 'the machine was made with another key, or its authorized keys were edited',
      next: "check that the store is this cluster's own",
    },
    exitCodes.credentials,
  );

/** One host's commands, at most as many at once as sshd allows on a connection. A lost connection is made again by the next command. */
function hostOf(name: string, connect: () => Promise<Connection>): Host {
  const channels = pLimit(channelsAtOnce);
  return {
    name,
    exec: (command, options = {}) =>
      channels(async () => {
        options.signal?.throwIfAborted();
        const connection = await connect();
        return run(name, connection, command, options);
      }),
    async interactive(command, terminal, signal) {
      const { client } = await connect();
      return interact(client, command, terminal, signal);
    },
    async stream(command, signal) {
      const connection = await connect();
      const release = await hold(channels, signal);
      try {
        const { channel } = await openChannel(name, connection, command, signal);
        const cut = () => channel.close();
        signal.addEventListener('abort', cut, { once: true });
        channel.once('close', () => {
          signal.removeEventListener('abort', cut);
          release();
        });
        channel.stderr.resume();
        return channel;
      } catch (error) {
        release();
        throw error;
      }
    },
  };
}

/** Takes one of the host's channels until `release` is called. */
function hold(channels: LimitFunction, signal: AbortSignal): Promise<() => void> {
  const { promise, resolve } = Promise.withResolvers<() => void>();
  const free = Promise.withResolvers<void>();
  void channels(() => {
    resolve(() => free.resolve());
    return signal.aborted ? undefined : free.promise;
  });
  return promise;
}

interface Session {
  readonly channel: ClientChannel;
  /** The command's exit code once it has ended; 255 by a signal. */
  readonly exit: () => number | undefined;
}

function openChannel(name: string, { client, closed }: Connection, command: string, signal?: AbortSignal): Promise<Session> {
  let gone = () => {};
  return bounded<Session>(signal, attemptMs, 'sshd opens no session', (resolve, reject) => {
    gone = () => reject(new Error('the connection was closed'));
    client.once('close', gone);
    // Login shells differ; `sh -c` only where the command is more than words.
    const line = /^[\w ./=:-]+$/.test(command) ? command : `exec sh -c ${quote(command)}`;
    client.exec(line, (error, channel) => {
      if (error) return reject(error);
      let code: number | undefined;
      // At once: a short command's end is in the same packet, and has been before any promise goes on.
      channel.once('exit', (status: number | null) => {
        code = status ?? 255;
      });
      resolve({ channel, exit: () => code });
    });
  })
    .catch((error: unknown) => {
      if (signal?.aborted) throw error;
      throw new UnreachableError({ what: 'no SSH session', where: name, why: messageOf(closed() ?? error) }, { cause: error });
    })
    .finally(() => client.off('close', gone));
}

async function run(
  name: string,
  connection: Connection,
  command: string,
  { stdin, signal, timeoutMs = 60_000 }: NonNullable<Parameters<Host['exec']>[1]>,
): Promise<ExecResult> {
  const { channel, exit } = await openChannel(name, connection, command, signal);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let size = 0;
  try {
    return await bounded<ExecResult>(
      signal,
      timeoutMs,
      `no end of the command within ${Math.round(timeoutMs / 1000)} s`,
      (resolve, reject) => {
        const collect = (into: Buffer[]) => (chunk: Buffer) => {
          size += chunk.length;
          if (size > maxOutput) reject(new Error(`more than ${maxOutput} bytes of output`));
          else into.push(chunk);
        };
        channel.on('data', collect(stdout));
        channel.stderr.on('data', collect(stderr));
        channel.on('error', reject);
        // A command that ends says so; a channel that closes without is a connection that was lost.
        channel.on('close', () => {
          const code = exit();
          if (code === undefined) reject(connection.closed() ?? new Error('the connection was closed'));
          // What stderr still holds is delivered in this turn of the loop.
          else setImmediate(() => resolve({ code, stdout: textOf(stdout), stderr: textOf(stderr) }));
        });
        if (stdin instanceof Readable) stdin.once('error', reject).pipe(channel);
        else channel.end(stdin);
      },
    );
  } catch (error) {
    channel.close();
    if (signal?.aborted || error instanceof UserError) throw error;
    throw new UnreachableError(
      { what: 'the host did not finish a command', where: name, why: messageOf(error) },
      { cause: error },
    );
  }
}

const textOf = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString();

/** A promise with an end: rejects after `ms`, or when the signal aborts. */
function bounded<T>(
  signal: AbortSignal | undefined,
  ms: number,
  late: string,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new Error(late)), ms);
  const abort = () => reject(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  start(resolve, reject);
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  });
}
const raceAbort = <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> =>
  bounded(signal, 2 ** 31 - 1, 'never', (resolve, reject) => promise.then(resolve, reject));
