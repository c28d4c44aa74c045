import {
  CreateLaunchTemplateCommand,
  CreateLaunchTemplateVersionCommand,
  DeleteLaunchTemplateCommand,
  DescribeLaunchTemplatesCommand,
  type LaunchTemplate,
  ModifyLaunchTemplateCommand,
  type RequestLaunchTemplateData,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { sha256 } from '../../src/plan/canonical.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, FieldChange, Observation, Ref, Resolved, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { setTags, shown, tagged, visible } from './ec2.ts';
import { codeOf, unlessNotFound } from './errors.ts';
import { forgetFact } from './facts.ts';
import { createWithToken } from './idempotency.ts';
import { instanceType } from './instance-type.ts';
import { profileVisible } from './launch.ts';
import type { BootSpec, MetadataOptions } from './machine.ts';
import { clusterTag, resourceIn, type Tag, type Tags, tagsFrom, withTags } from './tags.ts';
import { currentTemplate, keepTemplate, seenTemplates, type TemplateContent, templateName } from './template-versions.ts';
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
  /** Which groups launch. */
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
    for (const { id, version, content, tags } of await seenTemplates(world)) {
      const address = resourceIn(content.volumeTags, cluster, launchTemplate.name);
      if (address) found.set(address, { state: 'present', props: propsOf(content, tags), outputs: { id, version } });
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
      const outputs = { id: made.LaunchTemplate?.LaunchTemplateId ?? '', version: '1' };
      keepTemplate(ctx.clients, outputs, dataOf(props));
      return outputs;
    } catch (error) {
      if (!codeOf(error).startsWith('InvalidLaunchTemplateName.AlreadyExists')) throw error;
      return addVersion(await ownByName(name, ctx), props, ctx);
    }
  },
  async update(props, outputs, ctx) {
    const { id } = outputs;
    await setTags(ctx, id, props.tags);
    const now = await currentTemplate(ctx.clients, outputs);
    // Only tags had changed, or all else is left to `upgrade`.
    if (now && diffTemplate(props, propsOf(now.content, [])).every(({ path }) => ctx.hold.includes(path)))
      return { id, version: now.version };
    return addVersion(id, props, ctx);
  },
  async delete({ id }, { clients }) {
    await clients.ec2.send(new DeleteLaunchTemplateCommand({ LaunchTemplateId: id })).catch(unlessNotFound);
    await forgetFact(clients, id);
  },
};

/** Of the user data that was observed nothing can be told of what it was made from. */
const propsOf = ({ boot, ...content }: TemplateContent, tags: readonly Tag[]): Wanted => ({
  ...content,
  boot: { cluster: '', region: '', bucket: '', role: 'worker', roleId: '', authorizedKey: boot, machine: { name: '' } },
  tags: tagsFrom(tags),
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

/** Of what was observed only that is known. */
const bootDigest = (boot: Resolved<BootSpec>): string =>
  boot.cluster === '' ? boot.authorizedKey : sha256(renderUserData(boot));

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
  const [before, after] = [bootDigest(observed.boot), bootDigest(desired.boot)];
  if (before === after) return changes;
  return [...changes, { path: 'boot', before: before.slice(0, 12), after: after.slice(0, 12), impact: 'replace' }];
}

/** A version cannot be changed, so there is a next one. As the default it cannot be deleted. */
async function addVersion(id: string, props: Wanted, ctx: Context<AwsClients>): Promise<LaunchTemplateOutputs> {
  const { ec2 } = ctx.clients;
  // Not known until groups launch it: a crash on the way leaves what has to be asked for.
  await forgetFact(ctx.clients, id, true);
  const { LaunchTemplateVersion: made } = await createWithToken(ctx, dataOf(props), (ClientToken) =>
    visible(ctx, () =>
      ec2.send(new CreateLaunchTemplateVersionCommand({ LaunchTemplateId: id, LaunchTemplateData: dataOf(props), ClientToken })),
    ),
  );
  const version = String(made?.VersionNumber ?? '');
  await visible(ctx, () => ec2.send(new ModifyLaunchTemplateCommand({ LaunchTemplateId: id, DefaultVersion: version })));
  keepTemplate(ctx.clients, { id, version }, dataOf(props));
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
