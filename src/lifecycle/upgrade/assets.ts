import { assetsOfBundles } from '../assets.ts';
import type { Session } from '../session.ts';
import { type Course, variantsAt } from './course.ts';

/** What is new here is read to its last byte: a corrupt program must be found before anything is restarted. */
export async function ensureAssets(session: Session, course: Course, signal: AbortSignal): Promise<void> {
  const { opened, design } = session;
  // Bundles of variants to come are named after these, with an `@`.
  const inForce = [...design.bundles].flatMap(([name, bundle]) => (name.includes('@') ? [] : [bundle]));
  const known = new Set(assetsOfBundles(inForce).map(({ path }) => path));
  const wanted = assetsOfBundles(
    course.hops.flatMap((hop) => {
      session.redesign(variantsAt(course, hop, design.topology));
      const { topology, bundles } = session.design;
      return [...topology.machines, ...topology.groups].flatMap(({ bundle }) => bundles.get(bundle) ?? []);
    }),
  );
  session.redesign(course.variants);
  await opened.assets.ensure(wanted, signal);
  const fresh = wanted.filter(({ path }) => !known.has(path));
  await opened.assets.ensure(fresh, signal, { verify: true });
}
