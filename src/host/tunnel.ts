import { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { messageOf } from '../errors.ts';

export interface OpenChannel {
  readonly channel: ClientChannel;
  /** Why its connection is gone, once it is. */
  readonly lost: () => Error | undefined;
}

/**
 * A forwarded channel as a socket, with the manners of `net.connect`: it is there at once and emits `connect` when it is open; what is
 * written waits; destroying it ends the attempt. ssh2's channels are never destroyed, do not fail when their connection is lost, and leave a write
 * to a closed one without an answer.
 */
export function tunnelOf(open: (signal: AbortSignal) => Promise<OpenChannel>): Duplex {
  const leaving = new AbortController();
  let channel: ClientChannel | undefined;
  const opened = open(leaving.signal);
  const whenOpen = (use: (channel: ClientChannel) => void): void => {
    if (channel) use(channel);
    else opened.then((open) => use(open.channel)).catch(() => undefined);
  };
  const tunnel = new Duplex({
    read: () => channel?.resume(),
    write: (chunk, encoding, done) => whenOpen((to) => to.write(chunk, encoding, done)),
    final: (done) => whenOpen((to) => to.end(done)),
    destroy(error, done) {
      leaving.abort();
      channel?.destroy();
      done(error);
    },
  });
  opened.then(
    (open) => {
      if (tunnel.destroyed) {
        open.channel.destroy();
        return;
      }
      channel = open.channel;
      join(tunnel, open);
      tunnel.emit('connect');
    },
    (error: unknown) => tunnel.destroy(error instanceof Error ? error : new Error(messageOf(error))),
  );
  return tunnel;
}

function join(tunnel: Duplex, { channel, lost }: OpenChannel): void {
  channel.on('data', (chunk: Buffer) => {
    if (!tunnel.push(chunk)) channel.pause();
  });
  channel.on('error', (error: Error) => tunnel.destroy(error));
  // A connection that is lost looks to its channels like one that the other side ended.
  channel.on('end', () => {
    const error = lost();
    if (error) tunnel.destroy(error);
    else tunnel.push(null);
  });
  channel.on('close', () => {
    if (tunnel.readableEnded) tunnel.destroy(lost());
    else tunnel.once('end', () => tunnel.destroy(lost()));
  });
}
