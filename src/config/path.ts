/** Where a value is in cluster.yaml: keys, and indexes of lists. */
export type Path = readonly (string | number)[];

/** `pools[0].labels."example.com/tier"`. */
export const pathText = (path: Path): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const key = /^[A-Za-z_][-\w]*$/.test(part) ? part : JSON.stringify(part);
    return text === '' ? key : `${text}.${key}`;
  }, '');

/** One of the two lies in the other, or they are the same. */
export const related = (a: Path, b: Path): boolean => {
  const shared = Math.min(a.length, b.length);
  return a.slice(0, shared).every((part, i) => part === b[i]);
};

/** How a found value is shown in a message. A private key in the wrong place is never repeated. */
export function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'empty';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a mapping';
  const text = typeof value === 'string' ? value : String(value);
  if (/secret-key|private key|BEGIN /i.test(text)) return '(a secret, not shown)';
  const short = text.length > 80 ? `${text.slice(0, 77)}...` : text;
  return typeof value === 'string' ? JSON.stringify(short) : short;
}
