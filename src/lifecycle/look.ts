import { ObservedMap } from '../plan/observed.ts';
import { observe } from '../run/observe.ts';
import type { Opened } from './opened.ts';
import { type Session, withSession } from './session.ts';

/** For commands that talk to hosts or to the API directly: looks at the infrastructure (which tells where they are) and at nothing above it. */
export const withReach = <T>(opened: Opened, use: (session: Session) => Promise<T>): Promise<T> =>
  withSession(opened, async (session) => {
    await lookBelow(session);
    // The hosts layer connects by what lies below it; here nothing observes it.
    return use(session);
  });

/** Sees where hosts are. */
export const lookBelow = (session: Session): Promise<void> => look(session, session.seen);

/** For a command that stays: where everything is by now. Until that is known what was seen before holds. */
export async function lookAgain(session: Session): Promise<void> {
  const found = new ObservedMap();
  await look(session, found);
  session.seen.become(found);
}

async function look({ connected, signal }: Session, into: ObservedMap): Promise<void> {
  const below = connected.filter(({ layer }) => layer.name === 'secrets' || layer.name === 'infrastructure');
  await observe(below, into, signal, () => undefined);
}
