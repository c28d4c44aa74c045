import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

type Script = 'observe' | 'converge' | 'fetch' | 'join' | 'packages' | 'read' | 'snapshot';
const alone: readonly Script[] = ['fetch', 'join', 'read', 'snapshot'];

const read = (name: 'common' | Script): Promise<string> =>
  readFile(fileURLToPath(import.meta.resolve(`#templates/host/${name}`)), 'utf8');

const joined = new Map<string, Promise<string>>();
/**
 * The text of observe or converge, with what they share in front, or of one that needs nothing of it. It is sent along with every call (10 KB on the stdin of `sh -s`)
 * rather than installed: so a host never runs another version of it than the CLI that reads its answer.
 */
export function script(name: Script): Promise<string> {
  let text = joined.get(name);
  if (!text) {
    text = alone.includes(name) ? read(name) : Promise.all([read('common'), read(name)]).then((parts) => parts.join('\n'));
    joined.set(name, text);
  }
  return text;
}
