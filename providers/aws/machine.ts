import {
  AssociateIamInstanceProfileCommand,
  CreateTagsCommand,
  DescribeIamInstanceProfileAssociationsCommand,
  type Instance,
  ModifyInstanceMetadataOptionsCommand,
  ReplaceIamInstanceProfileAssociationCommand,
  StartInstancesCommand,
  TerminateInstancesCommand,
  type Volume,
} from '@aws-sdk/client-ec2';
import type { Role } from '../../src/cluster/topology.ts';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import {
  type Address,
  type Context,
  nameOf,
  type Observation,
  type Ref,
  type Resolved,
  type ResourceType,
} from '../../src/plan/resource.ts';
import { attach } from './attach.ts';
import type { AwsClients } from './clients.ts';
import { ownOf, setTags, visible } from './ec2.ts';
import { unlessNotFound } from './errors.ts';
import { hostKeyTag, publishedHostKey } from './host-key.ts';
import { instanceWhen } from './instance-poll.ts';
import { launch } from './launch.ts';
import { instances, madeByKubernetes, volumes } from './machine-queries.ts';
import { resourceIn, roleTag, type Tags, tagsFrom, withTags } from './tags.ts';
import type { UserDataSpec } from './user-data.ts';
import { grow } from './volume.ts';

/** What a machine may ask of the instance metadata service, and how. */
export interface MetadataOptions {
  /** `required`: with a session token only (IMDSv2). */
  readonly tokens: string;
  /** 1: no pod behind a bridge of its own gets an answer (hard part 20). */
  readonly hopLimit: number;
  /** `disabled`: AWS refuses it for instances whose tag keys hold a slash, as Kubernetes' do. */
  readonly tags: string;
}
export const metadataOptions: MetadataOptions = { tokens: 'required', hopLimit: 1, tags: 'disabled' };

export interface MachineProps {
  readonly image: Ref<string>;
  readonly type: string;
  readonly zone: string;
  readonly networkInterface: Ref<string>;
  /** Name of the instance profile. */
  readonly profile: Ref<string>;
  /** `main`, `events` → ID of the volume. */
  readonly volumes: Readonly<Record<string, Ref<string>>>;
  /** Of the root volume, at least. */
  readonly rootGb: number;
  readonly kmsKey: string | null;
  /** Device of the root volume, as the image calls it. */
  readonly device: Ref<string>;
  readonly metadata: MetadataOptions;
  readonly running: boolean;
  /** Whether its SSH host key is known: said by the machine where only it can write, and kept in a tag that it cannot change. */
  readonly pinned: boolean;
  /** What it runs at its first boot. */
  readonly boot: BootSpec;
  readonly tags: Tags;
}
/** User data, of which some is known only when other things are made. */
export interface BootSpec extends Omit<UserDataSpec, 'roleId' | 'authorizedKey' | 'machine'> {
  readonly roleId: Ref<string>;
  readonly authorizedKey: Ref<string>;
  readonly machine:
    | { readonly name: string }
    | { readonly pool: string; readonly bundle: { readonly key: Ref<string>; readonly digest: Ref<string> } };
}
export type WantedMachine = Resolved<MachineProps>;

export interface MachineOutputs {
  readonly id: string;
  /** EC2's word: pending, running, stopping, stopped. */
  readonly state: string;
  readonly address: string;
  readonly publicAddress: string | null;
  readonly role: Role | '';
  readonly zone: string;
  /** `ssh-ed25519 AAAA...`; empty while the machine has not published it. */
  readonly hostKey: string;
  readonly providerId: string;
}

/** An instance that the design names: bastion, etcd, master. Its network interface and its volumes outlive it. */
export const machine: ResourceType<MachineProps, MachineOutputs, AwsClients> = {
  name: 'aws.machine',
  dependsOn: [
    'aws.image',
    'aws.role',
    'aws.network-interface',
    'aws.volume',
    'aws.subnet',
    'aws.security-group',
    ...madeByKubernetes,
  ],
  timeoutMs: 900_000,
  async observe(world) {
    const [running, disks] = await Promise.all([world.read(instances), world.read(volumes)]);
    const found = new Map<Address, Observation<MachineProps, MachineOutputs>>();
    const { cluster } = world.clients.owner;
    const own = ownOf(running, { cluster, type: machine.name, idOf: ({ InstanceId }) => InstanceId });
    for (const { thing, tags, address } of own) {
      const props = { ...propsOf(thing, disks, cluster), tags, boot: notObserved };
      found.set(address, { state: 'present', props, outputs: outputsOf(thing, tags) });
    }
    return found;
  },
  diff: withTags(diffMachine),
  async create(props, ctx) {
    return settle(await launch(props, ctx), props, ctx);
  },
  async update(props, outputs, ctx) {
    const { clients, hold } = ctx;
    const [running, disks] = await Promise.all([instances(clients), volumes(clients)]);
    const there = running.find(({ InstanceId }) => InstanceId === outputs.id);
    if (!there) return settle(await launch(props, ctx), props, ctx);
    const before = { ...propsOf(there, disks, clients.owner.cluster), tags: tagsFrom(there.Tags), boot: props.boot };
    const strange = Object.entries(before.volumes).find(([name]) => props.volumes[name] === undefined);
    if (strange)
      throw new UserError({
        what: `volume ${strange[1]} (${strange[0]}) is attached to ${outputs.id}, and is not this machine's`,
        where: ctx.address,
        next: `detach it (aws ec2 detach-volume --volume-id ${strange[1]}), then run the same command again`,
      });
    const changes = diffMachine(props, before).filter(({ path }) => !hold.includes(path));
    if (changes.some(({ impact }) => impact === 'replace')) {
      await terminate(outputs.id, ctx);
      return settle(await launch(props, ctx), props, ctx);
    }
    const paths = new Set(changes.map(({ path }) => path));
    if (paths.has('running')) await start(outputs.id, ctx);
    if (paths.has('metadata')) await setMetadata(outputs.id, props.metadata, ctx);
    if (paths.has('profile')) await setProfile(outputs.id, props.profile, ctx);
    if (paths.has('rootGb')) await grow(rootOf(there, disks)?.VolumeId ?? '', props.rootGb, ctx);
    await setTags(ctx, outputs.id, props.tags);
    return settle(outputs.id, props, ctx);
  },
  delete: ({ id }, ctx) => terminate(id, ctx),
};

function diffMachine(desired: WantedMachine, observed: WantedMachine) {
  const table = fields<MachineProps>({
    image: 'replace',
    type: 'replace',
    zone: 'replace',
    networkInterface: 'replace',
    profile: 'none',
    volumes: 'none',
    rootGb: 'none',
    kmsKey: 'ignore',
    device: 'ignore',
    metadata: 'none',
    running: 'none',
    pinned: 'none',
    boot: 'ignore',
    tags: 'ignore',
  });
  // A root volume only grows; one that could not be seen (0) is left alone.
  const grows = observed.rootGb > 0 && observed.rootGb < desired.rootGb;
  return table(desired, { ...observed, rootGb: grows ? observed.rootGb : desired.rootGb });
}

const notObserved: Resolved<BootSpec> = {
  cluster: '',
  region: '',
  bucket: '',
  role: 'bastion',
  roleId: '',
  authorizedKey: '',
  machine: { name: '' },
};

function propsOf(instance: Instance, disks: readonly Volume[], cluster: string) {
  const {
    InstanceId = '',
    ImageId = '',
    InstanceType = '',
    Placement,
    IamInstanceProfile,
    MetadataOptions,
    Tags,
    State,
  } = instance;
  const address = resourceIn(tagsFrom(Tags), cluster, machine.name) ?? machine.name;
  const attached = disks.flatMap((disk): [string, string][] => {
    const held = disk.Attachments?.some(
      ({ InstanceId: by, State: state }) => by === InstanceId && state !== 'detaching' && state !== 'detached',
    );
    const own = resourceIn(tagsFrom(disk.Tags), cluster, 'aws.volume');
    if (!held || own === undefined || disk.VolumeId === undefined) return [];
    const [host, name = ''] = nameOf(own).split('.');
    // Another machine's volume is shown under its whole name.
    return [[host === address.slice(address.indexOf('/') + 1) ? name : nameOf(own), disk.VolumeId]];
  });
  return {
    image: ImageId,
    type: String(InstanceType),
    zone: Placement?.AvailabilityZone ?? '',
    networkInterface:
      instance.NetworkInterfaces?.find(({ Attachment }) => Attachment?.DeviceIndex === 0)?.NetworkInterfaceId ?? '',
    profile: IamInstanceProfile?.Arn?.replace(/^.*\//, '') ?? '',
    volumes: Object.fromEntries(attached),
    rootGb: rootOf(instance, disks)?.Size ?? 0,
    kmsKey: null,
    device: instance.RootDeviceName ?? '',
    metadata: {
      tokens: MetadataOptions?.HttpTokens ?? '',
      hopLimit: MetadataOptions?.HttpPutResponseHopLimit ?? 0,
      tags: MetadataOptions?.InstanceMetadataTags ?? 'disabled',
    },
    running: State?.Name === 'running' || State?.Name === 'pending',
    pinned: tagsFrom(Tags)[hostKeyTag] !== undefined,
  };
}

const rootOf = ({ RootDeviceName, BlockDeviceMappings = [] }: Instance, disks: readonly Volume[]): Volume | undefined => {
  const id = BlockDeviceMappings.find(({ DeviceName }) => DeviceName === RootDeviceName)?.Ebs?.VolumeId;
  return disks.find(({ VolumeId }) => id !== undefined && VolumeId === id);
};

const isRole = (text: string | undefined): text is Role =>
  text === 'bastion' || text === 'etcd' || text === 'master' || text === 'worker';
function outputsOf(instance: Instance, tags: Tags): MachineOutputs {
  const { InstanceId: id = '', PrivateIpAddress = '', PublicIpAddress, Placement, State } = instance;
  const zone = Placement?.AvailabilityZone ?? '';
  const role = tags[roleTag];
  return {
    id,
    state: State?.Name ?? '',
    address: PrivateIpAddress,
    publicAddress: PublicIpAddress ?? null,
    role: isRole(role) ? role : '',
    zone,
    hostKey: tags[hostKeyTag] ?? '',
    providerId: `aws:///${zone}/${id}`,
  };
}

/** From an instance that was asked for to a machine that can be reached: running, with its volumes, its host key known. */
async function settle(id: string, props: WantedMachine, ctx: Context<AwsClients>): Promise<MachineOutputs> {
  ctx.progress(`${id}: starts`);
  const there = await instanceWhen(id, ctx, 'running', (instance) => instance?.State?.Name === 'running');
  for (const [name, volume] of Object.entries(props.volumes)) await attach({ name, volume, instance: id }, ctx);
  const tags = tagsFrom(there.Tags);
  const outputs = outputsOf(there, { ...props.tags, ...tags });
  if (tags[hostKeyTag] !== undefined) return outputs;
  ctx.progress(`${id}: boots`);
  const hostKey = await publishedHostKey(`${props.boot.roleId}:${id}`, ctx);
  const pin = new CreateTagsCommand({ Resources: [id], Tags: [{ Key: hostKeyTag, Value: hostKey }] });
  await visible(ctx, () => ctx.clients.ec2.send(pin));
  return { ...outputs, hostKey };
}

async function start(id: string, ctx: Context<AwsClients>): Promise<void> {
  const settled = await instanceWhen(id, ctx, 'stopped', (instance) => instance?.State?.Name !== 'stopping');
  if (settled.State?.Name === 'stopped') await ctx.clients.ec2.send(new StartInstancesCommand({ InstanceIds: [id] }));
}

async function terminate(id: string, ctx: Context<AwsClients>): Promise<void> {
  const { ec2 } = ctx.clients;
  await ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] })).catch(unlessNotFound);
  ctx.progress(`${id}: ends`);
  // Its network interface and its volumes are free only then.
  await instanceWhen(id, ctx, 'terminated', (instance) => instance === undefined || instance.State?.Name === 'terminated');
}

async function setMetadata(
  id: string,
  { tokens, hopLimit, tags }: MetadataOptions,
  { clients }: Context<AwsClients>,
): Promise<void> {
  await clients.ec2.send(
    new ModifyInstanceMetadataOptionsCommand({
      InstanceId: id,
      HttpEndpoint: 'enabled',
      HttpTokens: tokens === 'required' ? 'required' : 'optional',
      HttpPutResponseHopLimit: hopLimit,
      InstanceMetadataTags: tags === 'enabled' ? 'enabled' : 'disabled',
    }),
  );
}

async function setProfile(id: string, profile: string, ctx: Context<AwsClients>): Promise<void> {
  const { ec2 } = ctx.clients;
  const { IamInstanceProfileAssociations: found = [] } = await ec2.send(
    new DescribeIamInstanceProfileAssociationsCommand({ Filters: [{ Name: 'instance-id', Values: [id] }] }),
  );
  const AssociationId = found.find(({ State }) => State === 'associated' || State === 'associating')?.AssociationId;
  const IamInstanceProfile = { Name: profile };
  await visible(ctx, () =>
    AssociationId === undefined
      ? ec2.send(new AssociateIamInstanceProfileCommand({ InstanceId: id, IamInstanceProfile }))
      : ec2.send(new ReplaceIamInstanceProfileAssociationCommand({ AssociationId, IamInstanceProfile })),
  );
}
