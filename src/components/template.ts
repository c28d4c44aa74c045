import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const texts = new Map<string, string>();

/** The text of a file below templates/, read once. */
export function templateText(path: string): string {
  let text = texts.get(path);
  if (text === undefined) {
    text = readFileSync(fileURLToPath(import.meta.resolve(`#templates/${path}`)), 'utf8');
    texts.set(path, text);
  }
  return text;
}

/**
 * Fills the `{{name}}` placeholders of a file below templates/. No spaces within the braces: `{{ end }}` is left alone, for
 * files that are Go templates themselves. Throws when a placeholder has no value, or a value no placeholder.
 */
export function render(path: string, values: Readonly<Record<string, string | number>> = {}): string {
  const used = new Set<string>();
  const text = templateText(path).replace(/\{\{([a-zA-Z][a-zA-Z0-9]*)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`templates/${path} has {{${name}}}, and no value was given for it`);
    used.add(name);
    return String(value);
  });
  const unused = Object.keys(values).filter((name) => !used.has(name));
  if (unused.length > 0) throw new Error(`templates/${path} has no placeholder for: ${unused.join(', ')}`);
  return text;
}
