import { createHash } from 'node:crypto';
import { type Algorithms, Client, type ClientChannel } from 'ssh2';
import { exitCodes, UserError } from '../errors.ts';
import { bounded } from './bounded.ts';
import type { Endpoint } from './host.ts';

/** What node:crypto does natively, and Debian's sshd offers: a whole handshake costs a few milliseconds. */
const algorithms: Algorithms = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
  serverHostKey: ['ssh-ed25519'],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'],
  compress: ['none'],
};
const attemptMs = 10_000;
/** A hung SSH is noticed after three of these. */
const keepalive = { keepaliveInterval: 3_000, keepaliveCountMax: 2 };
/** Each session in the making listens for the end of its connection. */
const listeners = 32;

export interface Connection {
  readonly client: Client;
  readonly closed: () => Error | undefined;
}

/** A way from the bastion to one of its neighbours: the socket of the next handshake. */
export function forward(client: Client, to: Pick<Endpoint, 'address' | 'port'>, signal: AbortSignal): Promise<ClientChannel> {
  let over = false;
  return bounded<ClientChannel>(signal, attemptMs, `${to.address}:${to.port} does not answer the bastion`, (resolve, reject) => {
    try {
      client.forwardOut('127.0.0.1', 0, to.address, to.port, (error, channel) => {
        if (error) reject(error);
        // Nobody waits for it any more.
        else if (over) channel.close();
        else resolve(channel);
      });
    } catch (error) {
      reject(error);
    }
  }).finally(() => {
    over = true;
  });
}

/** One SSH handshake, with the host key that is pinned and no other. Throws UserError where the key is wrong or ours is refused. */
export function shake(
  name: string,
  endpoint: Endpoint,
  sock: ClientChannel | undefined,
  privateKey: string,
  clients: Set<Client>,
  signal: AbortSignal,
): Promise<Connection> {
  const client = new Client();
  client.setMaxListeners(listeners);
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
