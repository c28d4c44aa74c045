import { observe } from '../run/observe.ts';
import type { Opened } from './opened.ts';
import { type Session, withSession } from './session.ts';

/** For commands that talk to hosts or to the API directly: looks at the infrastructure (which tells where they are) and at nothing above it. */
export const withReach = <T>(opened: Opened, use: (session: Session) => Promise<T>): Promise<T> =>
  withSession(opened, async (session) => {
    const below = session.connected.filter(({ layer }) => layer.name === 'secrets' || layer.name === 'infrastructure');
    await observe(below, session.seen, session.signal, () => undefined);
    // The hosts layer connects by what lies below it; here nothing observes it.
    return use(session);
  });
