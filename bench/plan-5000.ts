/** Design, diff and order of a cluster of 5,000 machines, from nothing; prints {"plan-5000": seconds, "plan-5000-memory": MB}. */
import { readFileSync } from 'node:fs';
import { localDesign } from '../providers/local/design.ts';
import { clusterSchema } from '../src/config/schema.ts';
import { designCluster } from '../src/lifecycle/design.ts';
import { makePlan } from '../src/plan/make.ts';
import { ObservedMap } from '../src/plan/observed.ts';

const cluster = clusterSchema.parse({
  apiVersion: 'slipway/v1',
  kind: 'Cluster',
  name: 'large',
  provider: { local: {} },
  zones: ['a', 'b', 'c'],
  network: { machines: '10.0.0.0/9', pods: '10.128.0.0/10', services: '10.200.0.0/16' },
  pools: Array.from({ length: 10 }, (_, i) => ({ name: `pool${i}`, count: 500 })),
});
const started = performance.now();
const { resources } = designCluster(cluster, undefined, localDesign);
const plan = makePlan({
  tool: 'bench',
  cluster: 'large',
  specDigest: '',
  desired: resources,
  observed: new ObservedMap(),
  types: new Map(localDesign.types.map((type) => [type.name, type])),
  policy: { command: 'up', allowDataLoss: false },
});
const ms = performance.now() - started;
if (plan.steps.length < 5000) throw new Error(`only ${plan.steps.length} steps`);
const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
console.log(JSON.stringify({ 'plan-5000': Math.round(ms) / 1000, 'plan-5000-memory': Math.round(peakKb / 1024) }));
