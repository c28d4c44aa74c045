import type { Credentials } from './clients.ts';

/** What a command issues for itself: short, since nobody can take it back. */
export const clientHours = 2;
/** Every call begins with one that lasts for as long again: longer than any call, and any watch. */
const renewAfterMs = (clientHours / 2) * 3_600_000;

/**
 * Issued at the first call, and anew by calls from half of its life on: an upgrade may take hours, or wait a night for its window. One that cannot be issued
 * keeps nobody from asking with the one before, for as long as the API takes that.
 */
export function renewing(issue: () => Promise<Credentials>, now: () => number): () => Promise<Credentials> {
  let held: { readonly since: number; readonly credentials: Promise<Credentials> } | undefined;
  return async () => {
    const before = held;
    // Also where the clock was set back: what was issued then may not be valid yet.
    if (before && Math.abs(now() - before.since) < renewAfterMs) return before.credentials;
    const issued = { since: now(), credentials: issue() };
    held = issued;
    issued.credentials = issued.credentials.catch((error: unknown) => {
      if (held === issued) held = before;
      if (before) return before.credentials;
      throw error;
    });
    return issued.credentials;
  };
}
