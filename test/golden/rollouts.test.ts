import { expect, it } from 'vitest';
import { rolloutView } from '../../src/ui/rollout-view.ts';
import { plainLook } from '../../src/ui/style.ts';
import { sampleUpgrade } from '../support/rollout.ts';

/** The dry run of an upgrade as a reviewer reads it. `npx vitest run --project fast test/golden -u` writes them anew. */
const plan = await sampleUpgrade();

it('a highly available cluster, 1.35.4 → 1.36.3, for people', async () => {
  await expect(`${rolloutView.human(plan, plainLook)}\n`).toMatchFileSnapshot('rollouts/ha.txt');
});
it('a highly available cluster, 1.35.4 → 1.36.3, for a pull request', async () => {
  await expect(`${rolloutView.markdown?.(plan) ?? ''}\n`).toMatchFileSnapshot('rollouts/ha.md');
});
