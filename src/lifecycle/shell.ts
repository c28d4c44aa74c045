import type { Terminal } from '../host/host.ts';
import { quote } from '../host/quote.ts';
import { unknownMachine } from './logs.ts';
import { withReach } from './look.ts';
import type { Opened } from './opened.ts';

/** A shell on a machine, or one command there; both through the bastion. Returns the remote exit code. */
export const shell = (opened: Opened, name: string, words: readonly string[], terminal: Terminal): Promise<number> =>
  withReach(opened, async (session) => {
    const { machines } = session.design.topology;
    if (!machines.some((machine) => machine.name === name))
      throw unknownMachine(
        name,
        machines.map((machine) => machine.name),
      );
    const host = await session.reach.hosts().hosts.get(name, { signal: session.signal, waitMs: 5000 });
    // One word is a command line for the remote shell, as ssh takes it; several are a command and its arguments.
    const command = words.length === 1 ? words[0] : words.length > 0 ? words.map(quote).join(' ') : undefined;
    return host.interactive(command, terminal, session.signal);
  });
