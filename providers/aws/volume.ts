import {
  CreateVolumeCommand,
  DeleteVolumeCommand,
  DescribeVolumesCommand,
  ModifyVolumeCommand,
  type Volume,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import {
  type Address,
  addressOf,
  type Context,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
  type World,
} from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { type Own, ownOf, setTags, tagged, visible, whileHeld } from './ec2.ts';
import { codeOf, unlessNotFound } from './errors.ts';
import { createWithToken } from './idempotency.ts';
import { volumes } from './machine-queries.ts';
import { resourceIn, type Tags, tagsFrom, withTags } from './tags.ts';

export interface VolumeProps {
  readonly zone: string;
  readonly gb: number;
  /** As in cluster.yaml; null: AWS's own key of the account. */
  readonly kmsKey: string | null;
  readonly encrypted: boolean;
  readonly tags: Tags;
}
export interface VolumeOutputs {
  readonly id: string;
}

/** What cluster.yaml called the key: AWS answers with its ARN, whatever it was called. */
const keyTag = 'slipway.dev/kms-key';
export const withKeyTag = (tags: Tags, kmsKey: string | null): Tags => (kmsKey === null ? tags : { ...tags, [keyTag]: kmsKey });

/** One etcd member's data: it outlives its machine, and goes only where loss of data was allowed. */
export const volume: ResourceType<VolumeProps, VolumeOutputs, AwsClients> = {
  name: 'aws.volume',
  shrink: 'data-loss',
  timeoutMs: 600_000,
  async observe(world) {
    const found = new Map<Address, Observation<VolumeProps, VolumeOutputs>>();
    for (const one of await ownVolumes(world)) {
      if (one.spare) continue;
      const { thing, tags, address } = one;
      found.set(address, { state: 'present', props: { ...propsOf(thing), tags }, outputs: { id: thing.VolumeId ?? '' } });
    }
    return found;
  },
  diff: withTags(diffVolume),
  async create(props, ctx) {
    const { ec2 } = ctx.clients;
    const id = await createWithToken(ctx, props, async (ClientToken) => {
      const { VolumeId = '' } = await ec2.send(
        new CreateVolumeCommand({
          AvailabilityZone: props.zone,
          Size: props.gb,
          VolumeType: 'gp3',
          Encrypted: true,
          ...(props.kmsKey !== null && { KmsKeyId: props.kmsKey }),
          ClientToken,
          TagSpecifications: tagged('volume', props.tags),
        }),
      );
      return VolumeId;
    });
    return { id };
  },
  async update(props, outputs, ctx) {
    const { ec2 } = ctx.clients;
    const { Volumes: [there] = [] } = await ec2.send(new DescribeVolumesCommand({ VolumeIds: [outputs.id] }));
    if (!there) throw new Error(`AWS does not show ${outputs.id}`);
    const before = propsOf(there);
    const lost = diffVolume(props, before).filter(({ path, impact }) => impact === 'data-loss' && !ctx.hold.includes(path));
    if (lost.length > 0)
      throw new UserError({
        what: `a volume cannot change: ${lost.map(({ path, before, after }) => `${path} ${String(before)} → ${String(after)}`).join(', ')}`,
        where: `${ctx.address} (${outputs.id})`,
        next: 'set cluster.yaml as it was; or take a backup, and restore it into a new cluster',
      });
    const { gb } = before;
    if (gb < props.gb) await grow(outputs.id, props.gb, ctx);
    await setTags(ctx, outputs.id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { ec2 } = ctx.clients;
    const holders = async () => (await attachmentsOf(id, ctx)).map((instance) => `instance ${instance}`);
    await whileHeld(ctx, holders, () => ec2.send(new DeleteVolumeCommand({ VolumeId: id })));
  },
};

const propsOf = ({ AvailabilityZone: zone = '', Size: gb = 0, Encrypted: encrypted = false, Tags }: Volume) => {
  const tags = tagsFrom(Tags);
  return { zone, gb, kmsKey: tags[keyTag] ?? null, encrypted, tags };
};

/** Growing interrupts nobody; what cannot be changed would lose the data. */
function diffVolume(desired: Resolved<VolumeProps>, observed: Resolved<VolumeProps>) {
  const table = { zone: 'data-loss', kmsKey: 'data-loss', encrypted: 'data-loss', tags: 'ignore' } as const;
  return fields<VolumeProps>({ ...table, gb: desired.gb >= observed.gb ? 'none' : 'data-loss' })(desired, observed);
}

/**
 * Those of etcd. Of two at one address (a create whose answer was lost for long) the used one keeps it, then the older; the other gets an
 * address that no design has.
 */
export async function ownVolumes(
  world: World<AwsClients>,
): Promise<readonly (Own<Volume> & { /** Two are there, and this one never held anything. */ readonly spare: boolean })[]> {
  const { cluster } = world.clients.owner;
  const living = (await world.read(volumes)).filter(({ State }) => State !== 'deleting' && State !== 'deleted');
  const byAge = living.toSorted((a, b) => (a.CreateTime?.getTime() ?? 0) - (b.CreateTime?.getTime() ?? 0));
  const age = new Map(byAge.map((one, index) => [one, String(index).padStart(6, '0')]));
  const addresses = living.flatMap(({ Tags }) => resourceIn(tagsFrom(Tags), cluster, volume.name) ?? []);
  const written = new Set(addresses).size < addresses.length ? await world.read(writtenVolumes) : nothingTwice;
  // One that was made from a snapshot is somebody's data, whoever put our tags on it. One that is attached to nothing may be a member's that
  // has just lost its machine.
  const isBlank = ({ Attachments = [], SnapshotId, VolumeId = '' }: Volume): boolean =>
    Attachments.length === 0 && !SnapshotId && written !== undefined && !written.has(VolumeId);
  const own = ownOf(living, {
    cluster,
    type: volume.name,
    idOf: (one) => `${one.Attachments?.length ? 0 : 1}${age.get(one) ?? ''}~${one.VolumeId}`,
    used: (one) => !isBlank(one),
  });
  return own.map(({ address, ...one }) => ({
    ...one,
    address: `aws.volume/${nameOf(address).replace(/~\d{7}~/, '~')}`,
    spare: address.includes('~') && isBlank(one.thing),
  }));
}
const nothingTwice: ReadonlySet<string> = new Set();
const recordPrefix = 'volumes/';
/** IDs of those that a host has mounted: it says so in the store before it does (templates/config/volumes-aws.sh). Undefined: not known. */
async function writtenVolumes({ store }: AwsClients): Promise<ReadonlySet<string> | undefined> {
  return store && new Set((await store.list(recordPrefix)).map((key) => key.slice(recordPrefix.length)));
}

/** The unused one of two volumes at one address (hard part 18): it goes at once. */
export const spareVolume: ResourceType<object, VolumeOutputs, AwsClients> = {
  name: 'aws.spare-volume',
  shrink: 'now',
  async observe(world) {
    const found = new Map<Address, Observation<object, VolumeOutputs>>();
    for (const one of (await ownVolumes(world)).filter(({ spare }) => spare))
      found.set(addressOf(spareVolume.name, nameOf(one.address)), {
        state: 'present',
        props: {},
        outputs: { id: one.thing.VolumeId ?? '' },
      });
    return found;
  },
  diff: () => [],
  async delete({ id }, { clients }) {
    // Attached since: then it is in use, and AWS refuses.
    await clients.ec2.send(new DeleteVolumeCommand({ VolumeId: id })).catch(unlessNotFound);
  },
};

/** Instances that hold it, or are about to let it go. */
async function attachmentsOf(id: string, { clients }: Context<AwsClients>): Promise<readonly string[]> {
  const { Volumes: [there] = [] } = await clients.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }));
  return (there?.Attachments ?? []).flatMap(({ InstanceId, State }) => (InstanceId && State !== 'detached' ? [InstanceId] : []));
}

/** AWS works on it for hours, and it serves all the while; it is once in six hours at most that a volume can change. */
export async function grow(id: string, gb: number, ctx: Context<AwsClients>): Promise<void> {
  try {
    await visible(ctx, () => ctx.clients.ec2.send(new ModifyVolumeCommand({ VolumeId: id, Size: gb })));
  } catch (error) {
    if (codeOf(error) === 'IncorrectModificationState')
      throw new UserError({
        what: `${id} is being changed already`,
        where: ctx.address,
        why: error instanceof Error ? error.message : codeOf(error),
        next: 'run the same command again in some hours',
      });
    if (codeOf(error) !== 'VolumeModificationRateExceeded') throw error;
    throw new UserError({
      what: `${id} was changed less than six hours ago`,
      where: ctx.address,
      next: 'run the same command again later: AWS changes a volume once in six hours',
    });
  }
}
