import { linkSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** The same tree, of hard links: on the same filesystem. Names that begin with a dot are left out. */
export function linkTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkTree(source, target);
    else linkSync(source, target);
  }
}
