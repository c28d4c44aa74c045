import {
  CreateLaunchTemplateCommand,
  CreateLaunchTemplateVersionCommand,
  DeleteLaunchTemplateCommand,
  DescribeLaunchTemplatesCommand,
  type LaunchTemplate,
  type LaunchTemplateVersion,
  ModifyLaunchTemplateCommand,
  type RequestLaunchTemplateData,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { sha256 } from '../../src/plan/canonical.ts';
import { fields } from '../../src/plan/fields.ts';
import {
  type Address,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Ref,
  type Resolved,
  type ResourceType,
} from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { setTags, shown, tagged, visible } from './ec2.ts';
import { codeOf, unlessNotFound } from './errors.ts';
import { createWithToken } from './idempotency.ts';
import { instanceType } from './instance-type.ts';
import { profileVisible } from './launch.ts';
import type { BootSpec, MetadataOptions } from './machine.ts';
import { templates } from './machine-queries.ts';
import { clusterTag, resourceIn, type Tags, tagsFrom, withTags } from './tags.ts';
import { templateTags } from './told.ts';
import { renderUserData } from './user-data.ts';

export interface LaunchTemplateProps {
  readonly image: Ref<string>;
  /** Device of the root volume, as the image calls it. */
  readonly device: Ref<string>;
  readonly type: string;
  /** ARN of the instance profile. */
  readonly profile: Ref<string>;
  readonly securityGroups: readonly Ref<string>[];
  readonly rootGb: number;
  readonly kmsKey: string | null;
  readonly metadata: MetadataOptions;
  /** What its machines run at their first boot; compared as the text that comes of it. */
  readonly boot: BootSpec;
  /** Of the machines' volumes: a group gives its own tags to instances only. */
  readonly volumeTags: Tags;
  /** Its own: by them we know it again when it is to be made. */
  readonly tags: Tags;
}
export interface LaunchTemplateOutputs {
  readonly id: string;
  /** Its default version, which groups launch. */
  readonly version: string;
}
type Wanted = Resolved<LaunchTemplateProps>;

/** What a pool's machines are made from. Every change is a new version, and reaches machines only when they are replaced: by `upgrade`. */
export const launchTemplate: ResourceType<LaunchTemplateProps, LaunchTemplateOutputs, AwsClients> = {
  name: 'aws.launch-template',
  dependsOn: ['aws.image', 'aws.role', 'aws.security-group'],
  async observe(world) {
    const found = new Map<Address, Observation<LaunchTemplateProps, LaunchTemplateOutputs>>();
    const { cluster } = world.clients.owner;
    const [versions, tags] = await Promise.all([world.read(templates), templateTags(world)]);
    for (const version of versions) {
      const props = { ...propsOf(version), tags: tagsFrom(tags.get(version.LaunchTemplateId ?? '')) };
      const address = resourceIn(props.volumeTags, cluster, launchTemplate.name);
      if (!address || version.LaunchTemplateName !== templateName(cluster, address)) continue;
      found.set(address, { state: 'present', props, outputs: outputsOf(version) });
    }
    return found;
  },
  diff: withTags(diffTemplate),
  async create(props, ctx) {
    const { ec2, owner } = ctx.clients;
    const name = templateName(owner.cluster, ctx.address);
    try {
      const made = await createWithToken(ctx, dataOf(props), (ClientToken) =>
        profileVisible(ctx, () =>
          ec2.send(
            new CreateLaunchTemplateCommand({
              LaunchTemplateName: name,
              LaunchTemplateData: dataOf(props),
              ClientToken,
              TagSpecifications: tagged('launch-template', props.tags),
            }),
          ),
        ),
      );
      return { id: made.LaunchTemplate?.LaunchTemplateId ?? '', version: '1' };
    } catch (error) {
      if (!codeOf(error).startsWith('InvalidLaunchTemplateName.AlreadyExists')) throw error;
      return addVersion(await ownByName(name, ctx), props, ctx);
    }
  },
  async update(props, { id }, ctx) {
    await setTags(ctx, id, props.tags);
    const now = (await templates(ctx.clients)).find(({ LaunchTemplateId }) => LaunchTemplateId === id);
    // Only tags had changed, or all else is left to `upgrade`.
    if (now && diffTemplate(props, propsOf(now)).every(({ path }) => ctx.hold.includes(path))) return outputsOf(now);
    return addVersion(id, props, ctx);
  },
  async delete({ id }, { clients }) {
    await clients.ec2.send(new DeleteLaunchTemplateCommand({ LaunchTemplateId: id })).catch(unlessNotFound);
  },
};

export const templateName = (cluster: string, address: Address): string => `${cluster}-${nameOf(address)}`;
const outputsOf = ({ LaunchTemplateId: id = '', VersionNumber: version }: LaunchTemplateVersion): LaunchTemplateOutputs => ({
  id,
  version: String(version ?? ''),
});

function dataOf(props: Wanted): RequestLaunchTemplateData {
  const { metadata, kmsKey } = props;
  return {
    ImageId: props.image,
    InstanceType: instanceType(props.type),
    IamInstanceProfile: { Arn: props.profile },
    SecurityGroupIds: [...props.securityGroups],
    BlockDeviceMappings: [
      {
        DeviceName: props.device,
        Ebs: {
          VolumeSize: props.rootGb,
          VolumeType: 'gp3',
          Encrypted: true,
          DeleteOnTermination: true,
          ...(kmsKey !== null && { KmsKeyId: kmsKey }),
        },
      },
    ],
    MetadataOptions: {
      HttpEndpoint: 'enabled',
      HttpTokens: metadata.tokens === 'required' ? 'required' : 'optional',
      HttpPutResponseHopLimit: metadata.hopLimit,
      InstanceMetadataTags: metadata.tags === 'enabled' ? 'enabled' : 'disabled',
    },
    UserData: Buffer.from(renderUserData(props.boot)).toString('base64'),
    // The instance's come from the group. But who makes a group must be allowed to launch what its template says, and may be only what has
    // the cluster's tag.
    TagSpecifications: [
      ...tagged('volume', props.volumeTags),
      ...tagged('instance', { [clusterTag]: props.volumeTags[clusterTag] ?? '' }),
    ],
  };
}

/** User data that was observed: a text. Nothing of what it was made from can be told. */
const observedBoot = (text: string): Resolved<BootSpec> => ({
  cluster: '',
  region: '',
  bucket: '',
  role: 'worker',
  roleId: '',
  authorizedKey: text,
  machine: { name: '' },
});
const textOf = (boot: Resolved<BootSpec>): string => (boot.cluster === '' ? boot.authorizedKey : renderUserData(boot));

function propsOf({ LaunchTemplateData: data = {} }: LaunchTemplateVersion): Wanted {
  const [root] = data.BlockDeviceMappings ?? [];
  const volumeTags = data.TagSpecifications?.find(({ ResourceType }) => ResourceType === 'volume')?.Tags;
  return {
    image: data.ImageId ?? '',
    device: root?.DeviceName ?? '',
    type: data.InstanceType ?? '',
    profile: data.IamInstanceProfile?.Arn ?? '',
    securityGroups: [...(data.SecurityGroupIds ?? [])].sort(),
    rootGb: root?.Ebs?.VolumeSize ?? 0,
    kmsKey: root?.Ebs?.KmsKeyId ?? null,
    metadata: {
      tokens: data.MetadataOptions?.HttpTokens ?? '',
      hopLimit: data.MetadataOptions?.HttpPutResponseHopLimit ?? 0,
      tags: data.MetadataOptions?.InstanceMetadataTags ?? 'disabled',
    },
    boot: observedBoot(Buffer.from(data.UserData ?? '', 'base64').toString()),
    volumeTags: tagsFrom(volumeTags),
    tags: {},
  };
}

function diffTemplate(desired: Wanted, observed: Wanted): readonly FieldChange[] {
  const changes = fields<LaunchTemplateProps>({
    image: 'replace',
    device: 'replace',
    type: 'replace',
    profile: 'replace',
    securityGroups: 'replace',
    rootGb: 'replace',
    kmsKey: 'replace',
    metadata: 'replace',
    boot: 'ignore',
    volumeTags: 'replace',
    tags: 'ignore',
  })({ ...desired, securityGroups: desired.securityGroups.toSorted() }, observed);
  const [before, after] = [textOf(observed.boot), textOf(desired.boot)];
  if (before === after) return changes;
  const short = (text: string): string => sha256(text).slice(0, 12);
  return [...changes, { path: 'boot', before: short(before), after: short(after), impact: 'replace' }];
}

/** A version cannot be changed: the next one becomes the default. */
async function addVersion(id: string, props: Wanted, ctx: Context<AwsClients>): Promise<LaunchTemplateOutputs> {
  const { ec2 } = ctx.clients;
  const { LaunchTemplateVersion: made } = await createWithToken(ctx, dataOf(props), (ClientToken) =>
    visible(ctx, () =>
      ec2.send(new CreateLaunchTemplateVersionCommand({ LaunchTemplateId: id, LaunchTemplateData: dataOf(props), ClientToken })),
    ),
  );
  const version = String(made?.VersionNumber ?? '');
  await visible(ctx, () => ec2.send(new ModifyLaunchTemplateCommand({ LaunchTemplateId: id, DefaultVersion: version })));
  return { id, version };
}

/** A name can exist once: what has it must be ours. */
async function ownByName(name: string, ctx: Context<AwsClients>): Promise<string> {
  const { ec2, owner } = ctx.clients;
  const there = await shown(ctx, async () => {
    const { LaunchTemplates: [found] = [] }: { LaunchTemplates?: LaunchTemplate[] | undefined } = await visible(ctx, () =>
      ec2.send(new DescribeLaunchTemplatesCommand({ LaunchTemplateNames: [name] })),
    );
    return found;
  });
  if (there?.LaunchTemplateId && resourceIn(tagsFrom(there.Tags), owner.cluster, launchTemplate.name) === ctx.address)
    return there.LaunchTemplateId;
  throw new UserError({
    what: `a launch template ${name} exists, and it is not this cluster's`,
    where: ctx.address,
    why: 'it has not the tags that Slipway gives to what it makes',
    next: 'remove it if nobody needs it, or give the cluster another name',
  });
}
