import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const read = (name: 'common' | 'observe' | 'converge' | 'fetch' | 'join'): Promise<string> =>
  readFile(fileURLToPath(import.meta.resolve(`#templates/host/${name}`)), 'utf8');

const joined = new Map<string, Promise<string>>();
/**
 * The text of observe or converge, with what they share in front, or of fetch or join. It is sent along with every call (10 KB on the stdin of `sh -s`)
 * rather than installed: so a host never runs another version of it than the CLI that reads its answer.
 */
export function script(name: 'observe' | 'converge' | 'fetch' | 'join'): Promise<string> {
  let text = joined.get(name);
  if (!text) {
    text =
      name === 'fetch' || name === 'join'
        ? read(name)
        : Promise.all([read('common'), read(name)]).then((parts) => parts.join('\n'));
    joined.set(name, text);
  }
  return text;
}
