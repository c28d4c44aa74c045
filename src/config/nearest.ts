import { closest, distance } from 'fastest-levenshtein';

/** The one word that was probably meant: at most a third of the letters may differ. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0 || word.length > 100) return undefined;
  const near = closest(
    word.toLowerCase(),
    known.map((each) => each.toLowerCase()),
  );
  const original = known.find((each) => each.toLowerCase() === near);
  return distance(word.toLowerCase(), near) <= Math.max(1, Math.floor(Math.max(word.length, near.length) / 3))
    ? original
    : undefined;
}
