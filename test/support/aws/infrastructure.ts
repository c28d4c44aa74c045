import type { AwsClients } from '../../../providers/aws/clients.ts';
import { forProvider, versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import type { Cluster } from '../../../src/config/schema.ts';
import { messageOf } from '../../../src/errors.ts';
import { ensureRecord } from '../../../src/lifecycle/identity.ts';
import type { Policy } from '../../../src/plan/choose.ts';
import { makePlan } from '../../../src/plan/make.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { partOf } from '../../../src/plan/part.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import type { Resource } from '../../../src/plan/resource.ts';
import type { Provider } from '../../../src/provider.ts';
import { isPublished } from '../../../src/rollout/groups.ts';
import { closeAll, connectAll, observe } from '../../../src/run/observe.ts';
import { run } from '../../../src/run/runner.ts';
import type { AwsPlace } from './place.ts';

export interface Infrastructure {
  readonly clients: AwsClients;
  readonly seen: ObservedMap;
  look(command?: Policy['command'], cluster?: Cluster): Promise<Plan>;
  /** Looks and carries out until nothing is left to do. Throws what failed. */
  converge(command?: Policy['command'], cluster?: Cluster): Promise<void>;
  /** As an upgrade does before the first turn: what machines of groups are made by moves, and its members stay. */
  publish(cluster: Cluster): Promise<void>;
}

/** What the layers below the infrastructure would give it. */
export const below = (cluster: Cluster): ReadonlyMap<`${string}/${string}`, object> =>
  new Map<`${string}/${string}`, object>([
    ['secret/ssh', { publicKey: 'ssh-ed25519 AAAATEST slipway' }],
    ...cluster.pools.map(({ name }) => [`pool.bundle/${name}`, { key: `pools/${name}/1.tar`, digest: 'a'.repeat(64) }] as const),
  ]);

/** A cluster's infrastructure, by the provider and the engine as they are; `only` keeps to types that a test is about. */
export async function infrastructure(
  place: Pick<AwsPlace, 'cluster' | 'open'>,
  only: (type: string) => boolean = () => true,
): Promise<Infrastructure> {
  const { cluster } = place;
  const signal = new AbortController().signal;
  const opened = (await place.open()) as Provider<AwsClients>;
  const provider: Provider<AwsClients> = { ...opened, types: opened.types.filter(({ name }) => only(name)) };
  const store = await provider.store(cluster, { create: true }, signal);
  // As every command does that changes something.
  if (store) await ensureRecord(store, cluster, () => 'uid');
  const seen = new ObservedMap();
  const connected = await connectAll([provider], seen, signal);
  const clients = connected[0]?.clients as AwsClients;
  const types = new Map(provider.types.map((type) => [type.name, type]));
  const designOf = (of: Cluster): readonly Resource[] => {
    const versions = forProvider(versionsFor(of.kubernetes.version), of.provider);
    return provider.design(designTopology(of, { ...noIdentity, uid: 'uid' }, versions)).filter(({ type }) => only(type));
  };
  const look: Infrastructure['look'] = async (command = 'up', of = cluster) => {
    seen.clear();
    for (const [address, outputs] of below(of)) seen.set(address, { state: 'present', props: {}, outputs });
    await observe(connected, seen, signal, () => undefined);
    const desired = command === 'down' ? [] : designOf(of);
    const policy = { command, allowDataLoss: command === 'down' };
    return makePlan({ tool: 'test', cluster: of.name, specDigest: '', desired, observed: seen, types, policy });
  };
  const converge = async (command: Policy['command'], of: Cluster, part: (plan: Plan) => Plan): Promise<void> => {
    for (let round = 0; round < 4; round++) {
      const plan = part(await look(command, of));
      // As a command ends.
      if (plan.steps.length === 0) return closeAll(connected);
      const { failed } = await run({
        steps: plan.steps,
        desired: designOf(of),
        connected,
        seen,
        secrets: { reveal: () => Promise.reject(new Error('no secrets here')) },
        emit: () => undefined,
        signal,
        beforeStep: async () => undefined,
        lanes: { infrastructure: 16 },
        runId: `test ${performance.now()}`,
        since: Date.now(),
        command: plan.command,
      });
      if (failed[0])
        throw new Error(failed.map(({ step, error }) => `${step.id}: ${messageOf(error)}`).join('\n'), {
          cause: failed[0].error,
        });
    }
    throw new Error('not converging');
  };
  return {
    clients,
    seen,
    look,
    converge: (command = 'up', of = cluster) => converge(command, of, (plan) => plan),
    publish: (of) =>
      converge('upgrade', of, (plan) =>
        partOf(
          plan,
          () => true,
          (_, path) => isPublished(path),
        ),
      ),
  };
}

/** `update aws.machine/bastion: running` */
export const wordsOf = (plan: Plan): string[] =>
  plan.changes
    .map(({ action, address, fields, when }) => {
      const what = action === 'update' ? `: ${fields.map(({ path }) => path).join(', ')}` : '';
      return `${action} ${address}${what}${'left' in when ? ` (left to ${when.left})` : ''}`;
    })
    .sort();
