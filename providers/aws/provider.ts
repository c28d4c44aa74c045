import { randomUUID } from 'node:crypto';
import type { MachineSpec, Topology } from '../../src/cluster/topology.ts';
import type { Cluster } from '../../src/config/schema.ts';
import { addressOf, type Observed, type Ref, type ResourceType, ref } from '../../src/plan/resource.ts';
import type { Provider } from '../../src/provider.ts';
import type { Store } from '../../src/store/store.ts';
import { access } from './access.ts';
import { accountOf } from './account.ts';
import { accountMemory } from './account-memory.ts';
import { balancer } from './balancer.ts';
import { bucketName, ensureBucket, openStore, removeBucket } from './bucket.ts';
import { type AwsClients, openSdk, type SdkOptions } from './clients.ts';
import { costOf } from './cost.ts';
import { design } from './design.ts';
import { existingOf } from './existing.ts';
import { explained, explaining } from './explain.ts';
import { writeFacts } from './facts.ts';
import { openGroups } from './groups.ts';
import { noNonces, storedNonces } from './idempotency.ts';
import { leftovers } from './leftovers.ts';
import { listener } from './listener.ts';
import { machineTypes } from './machine-types.ts';
import { networkTypes } from './network-types.ts';
import { pricesIn } from './prices.ts';
import { s3Store } from './s3-store.ts';
import { targetGroup } from './target-group.ts';
import type { UserDataSpec } from './user-data.ts';
import { verify } from './verify.ts';
import { zone } from './zone.ts';

export interface AwsOptions extends Omit<SdkOptions, 'region'> {
  readonly cluster: Cluster;
  /** Where it is remembered of which account an access key is; undefined: nowhere. */
  readonly stateDirectory?: string;
  /** Ask AWS for prices of today, instead of taking those of the table. */
  readonly askPrices?: boolean;
  /** How long AWS may hide what was just made, in milliseconds. */
  readonly windowMs?: number;
  /** What machines talk to instead of AWS's own: for tests. */
  readonly machineEndpoints?: UserDataSpec['endpoints'];
}

/** Measured by others at a few seconds; after half a minute nobody has seen it. */
const windowMs = 30_000;

const types: readonly ResourceType<object, object, AwsClients>[] = [
  ...networkTypes,
  ...machineTypes,
  targetGroup,
  balancer,
  listener,
  zone,
];

/** Amazon Web Services as the place where machines run. */
export async function openAws(options: AwsOptions): Promise<Provider<AwsClients>> {
  const { cluster } = options;
  const aws = cluster.provider.aws;
  if (!aws) throw new Error('not a cluster on AWS');
  const { region } = aws;
  const sdk = openSdk({ ...options, region });
  const owner = { cluster: cluster.name, extra: aws.tags };
  const memory = options.stateDirectory === undefined ? undefined : accountMemory(options.stateDirectory, options.endpoint);
  const whose = accountOf(sdk, { allowed: aws.accountIds, memory });
  /** As the command knows it: AWS's word before anything is changed. */
  let known: string | undefined;
  /** As the command has opened it: connecting asks no second time whether it is there. */
  let opened: Promise<Store | undefined> | undefined;
  /** Commands that change something open the store to write. */
  let writes = false;
  const connections = new WeakMap<AwsClients, { readonly seen: Observed; readonly signal: AbortSignal }>();
  const account = async (signal: AbortSignal): Promise<string> => {
    known = await (writes ? whose.proven(signal) : whose.told(signal));
    return known;
  };
  /** A store that is there proves the account: it is the bucket's owner. Where none is to be had, AWS says whether that was the right one. */
  const look = async (bucket: string, id: string, signal: AbortSignal): Promise<Store | undefined> => {
    const open = () => openStore(sdk.s3, bucket, id);
    const found = await explaining(`s3://${bucket}`, signal, open).catch(async (error: unknown) => {
      if ((await whose.proven(signal)) === id) throw error;
      return undefined;
    });
    if (found) return found;
    known = await whose.proven(signal);
    // Remembered wrongly: it is right now.
    return known === id ? undefined : openStore(sdk.s3, bucketName(known, region, cluster.name), known);
  };
  const bucketOf = async (signal: AbortSignal): Promise<string> => bucketName(await account(signal), region, cluster.name);
  return {
    name: 'infrastructure',
    types: types.map(explained),
    leftovers,
    delivery: 'fetched',
    async connect(seen, signal) {
      const bucket = await bucketOf(signal);
      const id = await account(signal);
      const store = opened ? await opened : await explaining(`s3://${bucket}`, signal, () => openStore(sdk.s3, bucket, id));
      const clients: AwsClients = {
        ...sdk,
        owner,
        // Account, region and name of the cluster in one, and nobody else's.
        uid: bucket,
        account: id,
        region,
        bucket,
        store,
        existing: existingOf(cluster),
        facts: new Map(),
        nonces: store ? storedNonces(store, randomUUID) : noNonces,
        windowMs: options.windowMs ?? windowMs,
      };
      connections.set(clients, { seen, signal });
      return clients;
    },
    async close(clients) {
      const { seen, signal } = connections.get(clients) ?? {};
      // An intent that stays open costs its next create a wait, a fact that is not kept a call: no reason to fail.
      if (!writes || !seen || signal?.aborted) return;
      await Promise.all([clients.nonces.settle(seen), writeFacts(clients)]).catch(() => undefined);
    },
    design(topology) {
      // Every session opens the store before it designs, and the store is found by the account.
      if (known === undefined) throw new Error('designed before it was known in which account');
      return design(topology, {
        owner,
        account: known,
        bucket: bucketName(known, region, cluster.name),
        ...(options.machineEndpoints && { endpoints: options.machineEndpoints }),
      });
    },
    machineAddress: (name) => addressOf('aws.machine', name),
    groupAddress: (name) => addressOf('aws.pool', name),
    groups: openGroups,
    machineFacts,
    cloudEndpoints: options.machineEndpoints && { api: options.machineEndpoints.s3, metadata: options.machineEndpoints.metadata },
    providerId: (name) => ref<string>(addressOf('aws.machine', name), 'providerId'),
    access,
    async store(_cluster, { create }, signal) {
      writes ||= create;
      const id = await account(signal);
      const bucket = bucketName(id, region, cluster.name);
      const wanted = { bucket, region, account: id, cluster: cluster.name, tags: aws.tags, kmsKey: aws.kmsKey };
      if (create) await explaining(`s3://${bucket}`, signal, () => ensureBucket(sdk.s3, wanted));
      opened = create ? Promise.resolve(s3Store(sdk.s3, bucket, id)) : look(bucket, id, signal);
      return opened;
    },
    async removeStore(_cluster, signal) {
      const bucket = bucketName(await whose.proven(signal), region, cluster.name);
      await explaining(`s3://${bucket}`, signal, () => removeBucket(sdk.s3, bucket, signal));
    },
    async *verify(topology, signal) {
      const id = await whose.proven(signal);
      const bucket = bucketName(id, region, cluster.name);
      const resources = design(topology, { owner, account: id, bucket });
      yield* verify({ sdk, owner, account: id, region, bucket, topology, resources, signal });
    },
    async cost(seen, desired, signal) {
      const own = [...seen.entries()].filter(([address]) => address.startsWith('aws.'));
      // What could not be seen may cost something.
      if (own.some(([, { state }]) => state === 'unknown')) return undefined;
      const before = own.flatMap(([address, found]) => (found.state === 'present' ? [{ address, props: found.props }] : []));
      if (!options.askPrices) return costOf(before, desired, pricesIn(region));
      const { priceList } = await import('./price-list.ts');
      return costOf(before, desired, pricesIn(region, await priceList(typesIn(cluster), { ...options, region }, signal)));
    },
    // An NLB takes a target out after two checks of 10 s, and a moment passes until all of it knows.
    leaveMs: () => 30_000,
  };
}

/**
 * An etcd machine's volumes: one of another machine is never mounted by mistake. The role of workers for the agent on the masters: under its ID
 * lie the proofs of machines that join.
 */
function machineFacts({ name, role }: MachineSpec, { cluster, groups }: Topology): Readonly<Record<string, Ref<string>>> {
  if (role === 'master' && groups.length > 0) return { WORKER_ROLE_ID: ref<string>('aws.role/worker', 'id') };
  if (role !== 'etcd') return {};
  const id = (volume: string) => ref<string>(addressOf('aws.volume', `${name}.${volume}`), 'id');
  return { VOLUME_MAIN: id('main'), ...(cluster.etcd.events ? { VOLUME_EVENTS: id('events') } : {}) };
}

/** Every machine type of the file. */
const typesIn = ({ bastion, etcd, masters, pools }: Cluster): ReadonlySet<string> =>
  new Set([bastion, etcd, masters, ...pools].map(({ machine }) => machine.type));
