import { closest, distance } from 'fastest-levenshtein';

/** The one word that was probably meant: two letters that changed places, or a third of them, may differ. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0 || word.length > 100) return undefined;
  const near = closest(
    word.toLowerCase(),
    known.map((each) => each.toLowerCase()),
  );
  const original = known.find((each) => each.toLowerCase() === near);
  const longer = Math.max(word.length, near.length);
  return distance(word.toLowerCase(), near) <= (longer < 4 ? 1 : Math.max(2, Math.floor(longer / 3))) ? original : undefined;
}
