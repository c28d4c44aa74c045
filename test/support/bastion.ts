import { type AddressInfo, connect, type Socket } from 'node:net';
import ssh2 from 'ssh2';
import { type HostKey, makeHostKey } from '../../providers/local/host-key.ts';
import type { Access, ApiAccess, Endpoint } from '../../src/host/host.ts';

/** A bastion on loopback, that forwards and nothing else: ssh2's own server. It resolves names that nobody else knows. */
export interface LocalBastion {
  readonly endpoint: Endpoint;
  /** The user's. */
  readonly key: HostKey;
  /** SSH connections that were opened, and channels through them: `api.demo.internal:6443`. */
  readonly connections: readonly unknown[];
  readonly forwarded: readonly string[];
  /** Name → port on 127.0.0.1. What is not here does not resolve; port 0 hangs. */
  readonly names: Map<string, number>;
  access(api?: ApiAccess): Access;
  /** Cuts all connections, as a machine that is switched off. */
  cut(): void;
  close(): Promise<void>;
}

export async function startBastion(port = 0): Promise<LocalBastion> {
  const [hostKey, key] = await Promise.all([makeHostKey('bastion'), makeHostKey('user')]);
  const user = ssh2.utils.parseKey(key.privateKey);
  if (user instanceof Error) throw user;
  const connections: ssh2.Connection[] = [];
  const sockets = new Set<Socket>();
  const forwarded: string[] = [];
  const names = new Map<string, number>();
  const server = new ssh2.Server({ hostKeys: [hostKey.privateKey] }, (connection) => {
    connections.push(connection);
    connection.on('error', () => undefined);
    // It has it, and its types do not; as sshd has it.
    if ('setNoDelay' in connection && typeof connection.setNoDelay === 'function') connection.setNoDelay(true);
    connection.on('authentication', (context) => {
      if (context.method !== 'publickey' || !context.key.data.equals(user.getPublicSSH())) context.reject(['publickey']);
      else context.accept();
    });
    connection.on('tcpip', (accept, reject, { destIP, destPort }) => {
      forwarded.push(`${destIP}:${destPort}`);
      const at = names.get(destIP);
      if (at === undefined) return reject();
      if (at === 0) return;
      const socket = connect(at, '127.0.0.1');
      sockets.add(socket);
      socket.once('error', () => reject());
      socket.once('connect', () => {
        const channel = accept();
        socket.on('error', () => channel.close());
        channel.on('close', () => socket.destroy());
        channel.pipe(socket).pipe(channel);
      });
    });
  });
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
  const endpoint = {
    address: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    user: 'root',
    hostKey: hostKey.publicKey,
  };
  const cut = (): void => {
    for (const connection of connections) connection.end();
    for (const socket of sockets) socket.destroy();
  };
  return {
    endpoint,
    key,
    connections,
    forwarded,
    names,
    access: (api) => ({ bastion: endpoint, hosts: new Map(), api }),
    cut,
    close() {
      cut();
      return new Promise((closed) => server.close(() => closed()));
    },
  };
}
