import { mustSucceed } from './converge.ts';
import type { Host } from './host.ts';
import { quote } from './quote.ts';
import { script } from './scripts.ts';

const withinMs = 15_000;

/**
 * Texts that lie on a host, by path, in one round trip. What is not there, is no text or is larger than 1 MiB is left out. The caller names no file that
 * holds a secret: what this reads is shown. Throws UnreachableError, and UserError when the host cannot answer.
 */
export async function readFiles(
  host: Pick<Host, 'name' | 'exec'>,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  if (paths.length === 0) return new Map();
  const command = `sh -s -- ${paths.map(quote).join(' ')}`;
  const result = await host.exec(command, { stdin: await script('read'), signal, timeoutMs: withinMs });
  mustSucceed(host.name, 'files could not be read', result);
  return parse(result.stdout, host.name);
}

function parse(stdout: string, host: string): ReadonlyMap<string, string> {
  const encoded = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of stdout.split('\n')) {
    if (line === 'end') return new Map([...encoded].flatMap(([path, lines]) => decoded(path, lines)));
    if (line.startsWith(' ')) current.push(line);
    else {
      current = [];
      if (line.startsWith('text ')) encoded.set(line.slice('text '.length), current);
    }
  }
  throw new Error(`${host} was cut while it told what its files hold`);
}

function decoded(path: string, lines: readonly string[]): readonly [string, string][] {
  const text = Buffer.from(lines.join(''), 'base64').toString();
  return text.includes('\0') || text.includes('\ufffd') ? [] : [[path, text]];
}
