const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `1h30m` → 5400000 */
export const durationMs = (duration: string): number =>
  [...duration.matchAll(/(\d+)(ms|s|m|h)/g)].reduce((sum, [, count, unit = 's']) => sum + Number(count) * (unitMs[unit] ?? 0), 0);
