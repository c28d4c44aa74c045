import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { costOf } from '../../providers/aws/cost.ts';
import { design } from '../../providers/aws/design.ts';
import { pricesIn } from '../../providers/aws/prices.ts';
import { loadCluster } from '../../src/config/load.ts';
import { designCluster } from '../../src/lifecycle/design.ts';
import { inForce } from '../../src/lifecycle/in-force.ts';
import { digestOf } from '../../src/plan/canonical.ts';
import { makePlan } from '../../src/plan/make.ts';
import { ObservedMap } from '../../src/plan/observed.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { addressOf, ref } from '../../src/plan/resource.ts';
import { planView } from '../../src/ui/plan-view.ts';
import { plainLook } from '../../src/ui/style.ts';
import { MemoryWorld, memoryLayers } from '../support/memory.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The first plan of an example, as a reviewer reads it. `npx vitest run --project fast test/golden -u` writes them anew. */
async function firstPlan(file: string): Promise<Plan> {
  const { cluster } = await loadCluster(`${root}/${file}`);
  const given = {
    owner: { cluster: cluster.name, extra: cluster.provider.aws?.tags ?? {} },
    account: '123456789012',
    bucket: 'slipway-example',
  };
  const { resources } = designCluster(inForce(cluster, undefined).variants, undefined, {
    design: (topology) => design(topology, given),
    delivery: 'fetched',
    machineAddress: (name) => addressOf('aws.machine', name),
    groupAddress: (name) => addressOf('aws.pool', name),
    providerId: (name) => ref<string>(addressOf('aws.machine', name), 'providerId'),
  });
  const plan = makePlan({
    tool: 'slipway',
    cluster: cluster.name,
    specDigest: digestOf(cluster),
    desired: resources,
    observed: new ObservedMap(),
    types: new Map(
      memoryLayers(new MemoryWorld(), resources).flatMap(({ types }) => types.map((type) => [type.name, type] as const)),
    ),
    policy: { command: 'up', allowDataLoss: false },
  });
  return { ...plan, cost: costOf([], resources, pricesIn(cluster.provider.aws?.region ?? '')) };
}

it.each(['small', 'ha', 'large'])('examples/aws/%s.yaml, for people', async (name) => {
  const plan = await firstPlan(`examples/aws/${name}.yaml`);
  await expect(`${planView.human(plan, plainLook)}\n`).toMatchFileSnapshot(`plans/aws-${name}.txt`);
});

it.each(['ha', 'large'])('examples/aws/%s.yaml, for a pull request', async (name) => {
  const text = planView.markdown?.(await firstPlan(`examples/aws/${name}.yaml`)) ?? '';
  await expect(`${text}\n`).toMatchFileSnapshot(`plans/aws-${name}.md`);
  expect(text.length).toBeLessThan(65_536);
});
