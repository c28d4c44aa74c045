import { existsSync, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** Commands that were planned before they were written: these words are only ever commands after `cluster`. */
const planned = /\bcluster (upgrade|restore|pki|backup|rotate|scale)\b/g;
/** In backticks, or at the beginning of a `next`, what follows `cluster` is a command. */
const named = /(?:`|\\`|next: ['`])cluster ([a-z]+)\b/g;

it('messages name no command that does not exist', () => {
  const files = globSync('{src,providers}/**/*.ts', { cwd: root });
  expect(files.length).toBeGreaterThan(100);
  const missing = files.flatMap((file) => {
    const text = readFileSync(`${root}/${file}`, 'utf8').replace(/^\s*(\/\*\*|\*|\/\/).*$/gm, '');
    return [...text.matchAll(planned), ...text.matchAll(named)]
      .map(([, word = '']) => word)
      .filter((word) => !existsSync(`${root}/src/commands/${word}.ts`) && !existsSync(`${root}/src/commands/${word}`))
      .map((word) => `${file}: cluster ${word}`);
  });
  expect(missing).toEqual([]);
});
