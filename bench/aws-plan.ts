/**
 * A plan without changes of a cluster's infrastructure on AWS, as `cluster plan` makes it: account, store, record, every type of the provider.
 * In a process of its own: FILE ENDPOINT ACCOUNT STATE-DIRECTORY → prints {"seconds", "peakMb", "changes"}.
 */
import { readFileSync } from 'node:fs';
import { openAws } from '../providers/aws/provider.ts';
import { forProvider, versionsFor } from '../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../src/cluster/design.ts';
import { readRecord } from '../src/lifecycle/identity.ts';
import { makePlan } from '../src/plan/make.ts';
import { ObservedMap } from '../src/plan/observed.ts';
import { connectAll, observe } from '../src/run/observe.ts';
import { below } from '../test/support/aws/infrastructure.ts';
import { clusterOf } from './aws-cluster.ts';

const [, , file = '', endpoint = '', account = '', stateDirectory = ''] = process.argv;
const cluster = clusterOf(file);
const started = performance.now();
const signal = new AbortController().signal;
const provider = await openAws({
  cluster,
  endpoint,
  stateDirectory,
  credentials: { accessKeyId: `AKIATEST${account}`, secretAccessKey: 'secret' },
});
const store = await provider.store(cluster, { create: false }, signal);
await readRecord(store);
const versions = forProvider(versionsFor(cluster.kubernetes.version), cluster.provider);
const desired = provider.design(designTopology(cluster, { ...noIdentity, uid: 'uid' }, versions));
const seen = new ObservedMap();
const connected = await connectAll([provider], seen, signal);
for (const [address, outputs] of below(cluster)) seen.set(address, { state: 'present', props: {}, outputs });
await observe(connected, seen, signal, () => undefined);
const types = new Map(provider.types.map((type) => [type.name, type]));
const policy = { command: 'up', allowDataLoss: false } as const;
const { changes } = makePlan({ tool: 'bench', cluster: cluster.name, specDigest: '', desired, observed: seen, types, policy });
const ms = performance.now() - started;
const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
console.log(JSON.stringify({ seconds: Math.round(ms) / 1000, peakMb: Math.round(peakKb / 1024), changes: changes.length }));
process.exit(0);
