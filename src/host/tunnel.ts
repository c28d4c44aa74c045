import { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';

/**
 * A forwarded channel as a stream that ends as others do: ssh2's are never destroyed, do not fail when their connection is lost, and leave
 * a write to a channel that was closed without an answer. `lost`: why the connection is gone, once it is.
 */
export function tunnelOf(channel: ClientChannel, lost: () => Error | undefined): Duplex {
  const tunnel = new Duplex({
    read: () => channel.resume(),
    write: (chunk, encoding, done) => channel.write(chunk, encoding, done),
    final: (done) => channel.end(done),
    destroy(error, done) {
      channel.destroy();
      done(error);
    },
  });
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
  return tunnel;
}
