import {
  AddRoleToInstanceProfileCommand,
  CreateInstanceProfileCommand,
  CreateRoleCommand,
  DeleteInstanceProfileCommand,
  DeleteRoleCommand,
  DeleteRolePolicyCommand,
  DetachRolePolicyCommand,
  GetInstanceProfileCommand,
  GetRoleCommand,
  type InstanceProfile,
  PutRolePolicyCommand,
  paginateGetAccountAuthorizationDetails,
  paginateListAttachedRolePolicies,
  paginateListInstanceProfilesForRole,
  paginateListRolePolicies,
  RemoveRoleFromInstanceProfileCommand,
  type RoleDetail,
  TagInstanceProfileCommand,
  TagRoleCommand,
  UpdateAssumeRolePolicyCommand,
} from '@aws-sdk/client-iam';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import {
  type Address,
  type Context,
  type Json,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { visible } from './ec2.ts';
import { codeOf, retrying, unlessNotFound } from './errors.ts';
import type { PolicyDocument } from './policies/document.ts';
import { resourceIn, type Tags, tagChanges, tagList, tagsFrom, withTags } from './tags.ts';

export interface RoleProps {
  /** Who may take it. */
  readonly trust: PolicyDocument;
  readonly policy: PolicyDocument;
  /** Whether its instance profile, by which an instance takes it, is there and holds it. */
  readonly profile: boolean;
  /** Of the instance profile; null: they were not told. */
  readonly profileTags: Tags | null;
  readonly tags: Tags;
}
export interface RoleOutputs {
  /** AROA…: new with each role, however it is called. */
  readonly id: string;
  /** Of the role and of its instance profile. */
  readonly profile: string;
  readonly arn: string;
  readonly profileArn: string;
}

/** What a kind of machine may do: an IAM role, its policy, and the instance profile that brings it to a machine. Names are unique in an account, over all regions. */
export const role: ResourceType<RoleProps, RoleOutputs, AwsClients> = {
  name: 'aws.role',
  async observe(world) {
    const found = new Map<Address, Observation<RoleProps, RoleOutputs>>();
    for (const one of await world.read(ownRoles)) {
      const { address, tags } = one;
      found.set(address, { state: 'present', props: { ...propsOf(one), tags }, outputs: outputsOf(one) });
    }
    return found;
  },
  diff: withTags((desired, observed) => [
    ...fields<RoleProps>({ trust: 'none', policy: 'none', profile: 'none', profileTags: 'ignore', tags: 'ignore' })(
      desired,
      observed,
    ),
    ...(observed.profile && observed.profileTags
      ? tagChanges(desired.profileTags ?? {}, observed.profileTags, 'profileTags')
      : []),
  ]),
  async create(props, ctx) {
    const { iam } = ctx.clients;
    const name = roleName(ctx.clients, ctx.address);
    const Tags = tagList(props.tags);
    const made = await createUnique(
      () =>
        iam.send(
          new CreateRoleCommand({
            RoleName: name,
            Path: pathOf(ctx.clients),
            AssumeRolePolicyDocument: JSON.stringify(props.trust),
            Description: `Slipway: ${nameOf(ctx.address)} machines of cluster ${ctx.clients.owner.cluster}`,
            Tags,
          }),
        ),
      () => visible(ctx, () => iam.send(new GetRoleCommand({ RoleName: name }))),
    );
    mustBeOurs(tagsFrom(made.Role?.Tags ?? Tags), `role ${name}`, ctx);
    const outputs = outputsOf({ RoleId: made.Role?.RoleId, RoleName: name, Arn: made.Role?.Arn, profile: undefined });
    await Promise.all([putPolicy(name, props.policy, ctx), ensureProfile(name, props.tags, ctx)]);
    return outputs;
  },
  async update(props, outputs, ctx) {
    const { iam } = ctx.clients;
    const { profile: name } = outputs;
    await Promise.all([
      putPolicy(name, props.policy, ctx),
      iam.send(new UpdateAssumeRolePolicyCommand({ RoleName: name, PolicyDocument: JSON.stringify(props.trust) })),
      iam.send(new TagRoleCommand({ RoleName: name, Tags: tagList(props.tags) })),
      ensureProfile(name, props.tags, ctx).then(() =>
        iam.send(new TagInstanceProfileCommand({ InstanceProfileName: name, Tags: tagList(props.tags) })),
      ),
    ]);
    return outputs;
  },
  async delete({ profile: name }, ctx) {
    const { iam } = ctx.clients;
    try {
      for await (const { InstanceProfiles = [] } of paginateListInstanceProfilesForRole({ client: iam }, { RoleName: name })) {
        for (const { InstanceProfileName } of InstanceProfiles) {
          const both = { RoleName: name, InstanceProfileName };
          await iam.send(new RemoveRoleFromInstanceProfileCommand(both)).catch(unlessNotFound);
        }
      }
      // What people attached by hand would keep the role alive.
      for await (const { AttachedPolicies = [] } of paginateListAttachedRolePolicies({ client: iam }, { RoleName: name })) {
        for (const { PolicyArn } of AttachedPolicies)
          await iam.send(new DetachRolePolicyCommand({ RoleName: name, PolicyArn })).catch(unlessNotFound);
      }
      for await (const { PolicyNames = [] } of paginateListRolePolicies({ client: iam }, { RoleName: name })) {
        for (const PolicyName of PolicyNames)
          await iam.send(new DeleteRolePolicyCommand({ RoleName: name, PolicyName })).catch(unlessNotFound);
      }
    } catch (error) {
      unlessNotFound(error);
    }
    await deleteProfile(name, ctx);
    // Of what was taken from it IAM knows everywhere only after some seconds.
    await retrying(['DeleteConflict', 'ConcurrentModification'], ctx, () =>
      iam.send(new DeleteRoleCommand({ RoleName: name })).catch(unlessNotFound),
    );
  },
};

const policyName = 'slipway';
const pathOf = ({ owner }: AwsClients): string => `/slipway/${owner.cluster}/`;
/** The region is in it: a cluster of the same name may be in another. */
export const roleName = ({ owner, region }: Pick<AwsClients, 'owner' | 'region'>, address: Address): string =>
  `${owner.cluster}-${region}-${nameOf(address)}`;

interface OwnRole extends RoleDetail {
  readonly address: Address;
  readonly tags: Tags;
  readonly profile: InstanceProfile | undefined;
}
/** One answer tells everything of all roles, where a role at a time would take three calls each. */
async function ownRoles(clients: AwsClients): Promise<readonly OwnRole[]> {
  const { iam, owner } = clients;
  const own: OwnRole[] = [];
  const pages = paginateGetAccountAuthorizationDetails({ client: iam, pageSize: 1000 }, { Filter: ['Role'] });
  for await (const { RoleDetailList = [] } of pages) {
    for (const detail of RoleDetailList) {
      if (!detail.Path?.startsWith('/slipway/')) continue;
      const tags = tagsFrom(detail.Tags);
      const address = resourceIn(tags, owner.cluster, role.name);
      const { RoleName: name } = detail;
      if (address === undefined || name !== roleName(clients, address)) continue;
      const profile = detail.InstanceProfileList?.find(({ InstanceProfileName }) => InstanceProfileName === name);
      own.push({ ...detail, address, tags, profile });
    }
  }
  return own;
}

function propsOf({ AssumeRolePolicyDocument, RolePolicyList = [], profile }: OwnRole) {
  const inline = RolePolicyList.find(({ PolicyName }) => PolicyName === policyName);
  return {
    trust: documentIn(AssumeRolePolicyDocument),
    policy: documentIn(inline?.PolicyDocument),
    profile: profile !== undefined,
    // IAM says that lists tell not all of a thing: what is left out is not looked at, and not taken for lost.
    profileTags: profile?.Tags ? tagsFrom(profile.Tags) : null,
  };
}
/** As IAM answers it: JSON in the encoding of URLs. What somebody wrote there by hand may be anything: it only has to differ. */
function documentIn(text: string | undefined): PolicyDocument {
  const parsed: Json = text === undefined ? null : JSON.parse(text.startsWith('%') ? decodeURIComponent(text) : text);
  return Object.assign({ Version: '2012-10-17' as const, Statement: [] }, parsed);
}

function outputsOf({
  RoleId = '',
  RoleName = '',
  Arn = '',
  profile,
}: Pick<RoleDetail, 'RoleId' | 'RoleName' | 'Arn'> & Pick<OwnRole, 'profile'>): RoleOutputs {
  return { id: RoleId, profile: RoleName, arn: Arn, profileArn: profile?.Arn ?? Arn.replace(':role/', ':instance-profile/') };
}

/** By its name, which is unique: made, or found where it is there already. */
async function createUnique<T>(create: () => Promise<T>, find: () => Promise<T>): Promise<T> {
  try {
    return await create();
  } catch (error) {
    if (codeOf(error) !== 'EntityAlreadyExists') throw error;
    return find();
  }
}
function mustBeOurs(tags: Tags, what: string, { address, clients }: Context<AwsClients>): void {
  if (resourceIn(tags, clients.owner.cluster, role.name) === address) return;
  throw new UserError({
    what: `an IAM ${what} exists, and it is not this cluster's`,
    where: address,
    why: 'it has not the tags that Slipway gives to what it makes',
    next: 'remove it if nobody needs it, or give the cluster another name',
  });
}

const putPolicy = (name: string, policy: Resolved<PolicyDocument>, ctx: Context<AwsClients>) =>
  visible(ctx, () =>
    ctx.clients.iam.send(
      new PutRolePolicyCommand({ RoleName: name, PolicyName: policyName, PolicyDocument: JSON.stringify(policy) }),
    ),
  );

async function ensureProfile(name: string, tags: Tags, ctx: Context<AwsClients>): Promise<void> {
  const { iam } = ctx.clients;
  const input = { InstanceProfileName: name };
  const Tags = tagList(tags);
  const { InstanceProfile: made } = await createUnique(
    () => iam.send(new CreateInstanceProfileCommand({ ...input, Path: pathOf(ctx.clients), Tags })),
    () => visible(ctx, () => iam.send(new GetInstanceProfileCommand(input))),
  );
  mustBeOurs(tagsFrom(made?.Tags ?? Tags), `instance profile ${name}`, ctx);
  const held = made?.Roles?.map(({ RoleName }) => RoleName) ?? [];
  if (held.includes(name)) return;
  for (const other of held) await iam.send(new RemoveRoleFromInstanceProfileCommand({ ...input, RoleName: other }));
  try {
    await visible(ctx, () => iam.send(new AddRoleToInstanceProfileCommand({ ...input, RoleName: name })));
  } catch (error) {
    // The answer was lost, and the SDK asked again: a profile holds one role, and the refusal (LimitExceeded) reads like a throttle to the
    // SDK, which goes on asking. What is there tells.
    const { InstanceProfile: now } = await iam.send(new GetInstanceProfileCommand(input));
    if (!now?.Roles?.some(({ RoleName }) => RoleName === name)) throw error;
  }
}

async function deleteProfile(name: string, { clients }: Context<AwsClients>): Promise<void> {
  const { iam } = clients;
  const input = { InstanceProfileName: name };
  const there = await iam.send(new GetInstanceProfileCommand(input)).catch(unlessNotFound);
  if (!there) return;
  for (const { RoleName } of there.InstanceProfile?.Roles ?? [])
    await iam.send(new RemoveRoleFromInstanceProfileCommand({ ...input, RoleName })).catch(unlessNotFound);
  await iam.send(new DeleteInstanceProfileCommand(input)).catch(unlessNotFound);
}
