import { randomUUID } from 'node:crypto';
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import type { MachineSpec, Topology } from '../../src/cluster/topology.ts';
import type { Cluster } from '../../src/config/schema.ts';
import { exitCodes, messageOf, UnreachableError, UserError } from '../../src/errors.ts';
import { addressOf, type Observed, type Ref, type ResourceType, ref } from '../../src/plan/resource.ts';
import type { Provider } from '../../src/provider.ts';
import type { Store } from '../../src/store/store.ts';
import { access } from './access.ts';
import { balancer } from './balancer.ts';
import { bucketName, ensureBucket, openStore, removeBucket } from './bucket.ts';
import { type AwsClients, openSdk, type SdkOptions } from './clients.ts';
import { costOf } from './cost.ts';
import { design } from './design.ts';
import { codeOf } from './errors.ts';
import { existingOf } from './existing.ts';
import { explained } from './explain.ts';
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
  let asked: Promise<string> | undefined;
  let known: string | undefined;
  /** As the command has opened it: connecting asks no second time whether it is there. */
  let opened: Promise<Store | undefined> | undefined;
  /** Commands that change something open the store to write. */
  let writes = false;
  const connections = new WeakMap<AwsClients, { readonly seen: Observed; readonly signal: AbortSignal }>();
  const account = async (signal: AbortSignal): Promise<string> => {
    asked ??= accountOf(sdk, aws.accountIds, signal);
    known = await asked;
    return known;
  };
  const bucketOf = async (signal: AbortSignal): Promise<string> => bucketName(await account(signal), region, cluster.name);
  return {
    name: 'infrastructure',
    types: types.map(explained),
    leftovers,
    delivery: 'fetched',
    async connect(seen, signal) {
      const bucket = await bucketOf(signal);
      const store = opened ? await opened : await openStore(sdk.s3, bucket, await account(signal));
      const clients: AwsClients = {
        ...sdk,
        owner,
        // Account, region and name of the cluster in one, and nobody else's.
        uid: bucket,
        account: await account(signal),
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
      const bucket = await bucketOf(signal);
      const id = await account(signal);
      writes ||= create;
      if (create)
        await ensureBucket(sdk.s3, { bucket, region, account: id, cluster: cluster.name, tags: aws.tags, kmsKey: aws.kmsKey });
      opened = create ? Promise.resolve(s3Store(sdk.s3, bucket)) : openStore(sdk.s3, bucket, id);
      return opened;
    },
    removeStore: async (_cluster, signal) => removeBucket(sdk.s3, await bucketOf(signal), signal),
    async *verify(topology, signal) {
      const id = await account(signal);
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

/** Whose credentials these are. Throws where there are none, or where this cluster may not be made. */
async function accountOf({ sts }: ReturnType<typeof openSdk>, allowed: readonly string[], signal: AbortSignal): Promise<string> {
  let account: string;
  try {
    ({ Account: account = '' } = await sts.send(new GetCallerIdentityCommand(), { abortSignal: signal }));
  } catch (error) {
    signal.throwIfAborted();
    const code = codeOf(error);
    if (
      /CredentialsProviderError|ExpiredToken|InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClient|AccessDenied|AuthFailure/.test(
        code,
      )
    )
      throw new UserError(
        {
          what: 'no valid AWS credentials',
          where: 'provider.aws',
          why: `${code}: ${messageOf(error)}`,
          next: 'log in (aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
        },
        exitCodes.credentials,
      );
    throw new UnreachableError(
      { what: 'AWS cannot be reached', why: messageOf(error), next: 'check the network and the region' },
      { cause: error },
    );
  }
  if (allowed.length === 0 || allowed.includes(account)) return account;
  throw new UserError(
    {
      what: `these credentials are of account ${account}, in which this cluster may not be made`,
      where: 'provider.aws.accountIds',
      why: `allowed: ${allowed.join(', ')}`,
      next: 'use credentials of an allowed account, or add this one to accountIds',
    },
    exitCodes.credentials,
  );
}

/** Every machine type of the file. */
const typesIn = ({ bastion, etcd, masters, pools }: Cluster): ReadonlySet<string> =>
  new Set([bastion, etcd, masters, ...pools].map(({ machine }) => machine.type));
