import { observe } from '../run/observe.ts';
import type { Opened } from './opened.ts';
import { type Session, withSession } from './session.ts';

/** For commands that talk to hosts or to the API directly: looks at the infrastructure (which tells where they are) and at nothing above it. */
export const withReach = <T>(opened: Opened, use: (session: Session) => Promise<T>): Promise<T> =>
  withSession(opened, async (session) => {
    await lookAround(session);
    // The hosts layer connects by what lies below it; here nothing observes it.
    return use(session);
  });

/** Where hosts and the API are: once, or again in a command that stays. */
export async function lookAround({ connected, seen, signal }: Session): Promise<void> {
  const below = connected.filter(({ layer }) => layer.name === 'secrets' || layer.name === 'infrastructure');
  seen.clear();
  await observe(below, seen, signal, () => undefined);
}
