import { Readable } from 'node:stream';
import pLimit, { type LimitFunction } from 'p-limit';
import type { ClientChannel } from 'ssh2';
import { messageOf, UnreachableError, UserError } from '../errors.ts';
import { bounded } from './bounded.ts';
import type { Connection } from './handshake.ts';
import type { ExecResult, Host } from './host.ts';
import { interact } from './interactive.ts';
import { quote } from './quote.ts';

/** sshd's MaxSessions is 10 a connection; two stay for `ssh` and streams that outlive their reader. */
const channelsAtOnce = 8;
const openMs = 10_000;
const maxOutput = 64 * 1024 * 1024;

/** One host's commands, at most as many at once as sshd allows on a connection. A lost connection is made again by the next command. */
export function hostOf(name: string, connect: () => Promise<Connection>): Host {
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
      const { client, closed } = await connect();
      try {
        return await interact(client, command, terminal, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        const why = messageOf(closed() ?? error);
        throw new UnreachableError({ what: 'the SSH session was cut', where: name, why }, { cause: error });
      }
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
  return bounded<Session>(signal, openMs, 'sshd opens no session', (resolve, reject) => {
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
  const { client } = connection;
  let lost = () => {};
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
        // A connection through the bastion that is given up may be told as an error, with no end of its channels: unless the command has ended, this is it.
        lost = () => {
          if (exit() === undefined) reject(connection.closed() ?? new Error('the connection was closed'));
        };
        client.once('error', lost).once('close', lost);
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
  } finally {
    client.off('error', lost).off('close', lost);
  }
}

const textOf = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString();
