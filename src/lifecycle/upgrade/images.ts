import pLimit from 'p-limit';
import { machinesOf } from '../../cluster/topology.ts';
import { imagesUnit, importScript } from '../../components/containerd.ts';
import { addressOf } from '../../plan/resource.ts';
import { during } from '../../run/during.ts';
import { runPlan } from '../round.ts';
import { designedBeside, planOne, type Session } from '../session.ts';
import { policy } from './policy.ts';
import { settle } from './settle.ts';

const atOnce = 16;
/** What brings images, as fields of `host.bundle`: it restarts nothing that a pod runs on. */
const ofImages: ReadonlySet<string> = new Set([`files.${importScript}`, `units.${imagesUnit}`]);

/**
 * Addons run on workers, and move before these have their turns; a site without a registry has their images in the bundles alone. So each worker gets the
 * images of its next bundle first, and nothing else of it. The session's design has workers where they are to be.
 */
export async function bringImages(session: Session, signal: AbortSignal): Promise<void> {
  const limit = pLimit(atOnce);
  const lacking = machinesOf(session.design.topology, 'worker').flatMap(({ name }) => {
    const plan = planOne(session, policy, name);
    const address = addressOf('host.bundle', name);
    const step = plan.steps.find(({ params }) => params.address === address && params.action === 'update');
    const fields = plan.changes.find((change) => change.address === address)?.fields ?? [];
    if (!step || !fields.some(({ path }) => path === `files.${importScript}`)) return [];
    const hold = fields.map(({ path }) => path).filter((path) => !ofImages.has(path));
    return [{ name, step: { ...step, params: { ...step.params, hold }, after: [] } }];
  });
  if (lacking.length === 0) return;
  await during('images of the addons', session.emit, () =>
    Promise.all(
      lacking.map(({ name, step }) =>
        limit(async () => {
          const desired = designedBeside(session, name);
          await runPlan({ steps: [step], command: policy.command }, session, signal, { desired });
          await settle(name, [imagesUnit], session, signal);
        }),
      ),
    ),
  );
}
