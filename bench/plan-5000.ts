/** Design, diff and order of a cluster of 5,000 machines, from nothing; prints {"plan-5000": seconds, "plan-5000-memory": MB}. */
import { readFileSync } from 'node:fs';
import { openLocal } from '../providers/local/provider.ts';
import { clusterSchema } from '../src/config/schema.ts';
import { designCluster } from '../src/lifecycle/design.ts';
import { inForce } from '../src/lifecycle/in-force.ts';
import { commonTypes } from '../src/lifecycle/layers.ts';
import { makePlan } from '../src/plan/make.ts';
import { ObservedMap } from '../src/plan/observed.ts';
import type { ResourceType } from '../src/plan/resource.ts';

const cluster = clusterSchema.parse({
  apiVersion: 'slipway/v1',
  kind: 'Cluster',
  name: 'large',
  provider: { local: {} },
  zones: ['a', 'b', 'c'],
  network: { machines: '10.0.0.0/9', pods: '10.128.0.0/10', services: '10.200.0.0/16' },
  pools: Array.from({ length: 10 }, (_, i) => ({ name: `pool${i}`, count: 500 })),
});
// Nothing below reaches Docker: the design and the types' diffs are pure.
const provider = await openLocal({ cluster: 'large', stateDirectory: '/nowhere', assetDirectory: '/nowhere' });
const types: readonly ResourceType<object, object, unknown>[] = [...provider.types, ...Object.values(commonTypes).flat()];
const started = performance.now();
const { resources } = designCluster(inForce(cluster, undefined).variants, undefined, provider);
const plan = makePlan({
  tool: 'bench',
  cluster: 'large',
  specDigest: '',
  desired: resources,
  observed: new ObservedMap(),
  types: new Map(types.map((type) => [type.name, type])),
  policy: { command: 'up', allowDataLoss: false },
});
const ms = performance.now() - started;
if (plan.steps.length < 5000) throw new Error(`only ${plan.steps.length} steps`);
const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
console.log(JSON.stringify({ 'plan-5000': Math.round(ms) / 1000, 'plan-5000-memory': Math.round(peakKb / 1024) }));
