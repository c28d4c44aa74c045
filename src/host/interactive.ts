import type { Client, ClientChannel, PseudoTtyOptions } from 'ssh2';
import type { Terminal } from './host.ts';

/** Wires a shell, or one command, to a person's terminal; or to plain streams where there is none. Returns the remote exit code (255: by a signal, or cut by ours). Throws when the connection is lost. */
export function interact(
  client: Client,
  command: string | undefined,
  { stdin, stdout, stderr }: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const tty = stdin.isTTY === true && command === undefined;
  const size = (): PseudoTtyOptions => ({ term: 'xterm-256color', cols: stdout.columns ?? 80, rows: stdout.rows ?? 24 });
  return new Promise((done, fail) => {
    const open = (error: Error | undefined, channel: ClientChannel): void => {
      if (error) {
        fail(error);
        return;
      }
      let code: number | undefined;
      const resize = (): void => {
        const { cols = 80, rows = 24 } = size();
        channel.setWindow(rows, cols, 0, 0);
      };
      const cut = (): void => channel.close();
      signal.addEventListener('abort', cut, { once: true });
      channel.on('exit', (status: number | null) => {
        code = status ?? 255;
      });
      channel.on('close', () => {
        signal.removeEventListener('abort', cut);
        stdout.off('resize', resize);
        stdin.unpipe(channel);
        stdin.pause();
        if (tty) stdin.setRawMode?.(false);
        // A command that ends says so; a channel that closes without is a connection that was lost.
        if (code === undefined && !signal.aborted) fail(new Error('the connection was lost'));
        else done(code ?? 255);
      });
      if (tty) {
        stdin.setRawMode?.(true);
        stdout.on('resize', resize);
      }
      stdin.pipe(channel);
      channel.pipe(stdout, { end: false });
      channel.stderr.pipe(stderr, { end: false });
    };
    if (command === undefined) client.shell(tty ? size() : false, open);
    else client.exec(command, open);
  });
}
