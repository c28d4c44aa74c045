import {
  CreateSecurityGroupCommand,
  DeleteSecurityGroupCommand,
  DescribeSecurityGroupsCommand,
  type SecurityGroup,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, Ref, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { made, ownOf, setTags, shown, tagged, visible, whileHeld } from './ec2.ts';
import { codeOf } from './errors.ts';
import { securityGroups } from './network-queries.ts';
import { resourceIn, type Tags, tagsFrom, withTags } from './tags.ts';
import { interfacesIn } from './vpc.ts';

export interface SecurityGroupProps {
  readonly vpc: Ref<string>;
  /** Can exist once in a VPC. */
  readonly name: string;
  readonly tags: Tags;
}
export interface SecurityGroupOutputs {
  readonly id: string;
}

/** Which machines a rule is about. What it lets in is `aws.firewall`, since groups name each other in their rules. */
export const securityGroup: ResourceType<SecurityGroupProps, SecurityGroupOutputs, AwsClients> = {
  name: 'aws.security-group',
  dependsOn: ['aws.vpc'],
  timeoutMs: 600_000,
  async observe(world) {
    const { cluster } = world.clients.owner;
    const own = ownOf(await world.read(securityGroups), { cluster, type: securityGroup.name, idOf: ({ GroupId }) => GroupId });
    return new Map(
      own.map(({ thing, tags, address }): [Address, Observation<SecurityGroupProps, SecurityGroupOutputs>] => [
        address,
        {
          state: 'present',
          props: { vpc: thing.VpcId ?? '', name: thing.GroupName ?? '', tags },
          outputs: { id: thing.GroupId ?? '' },
        },
      ]),
    );
  },
  diff: withTags(fields<SecurityGroupProps>({ vpc: 'replace', name: 'replace', tags: 'ignore' })),
  async create({ vpc, name, tags }, ctx) {
    const command = new CreateSecurityGroupCommand({
      GroupName: name,
      Description: `Slipway cluster ${ctx.clients.owner.cluster}`,
      VpcId: vpc,
      TagSpecifications: tagged('security-group', tags),
    });
    try {
      // The name can exist once, so sending it twice makes one.
      return { id: made((await visible(ctx, () => ctx.clients.ec2.send(command))).GroupId) };
    } catch (error) {
      if (codeOf(error) !== 'InvalidGroup.Duplicate') throw error;
      const id = await ownByName(name, vpc, ctx);
      // It was not seen: one of the tags that it is looked for by is lost.
      await setTags(ctx, id, tags);
      return { id };
    }
  },
  async update(props, outputs, ctx) {
    const { SecurityGroups: [there] = [] } = await ctx.clients.ec2.send(
      new DescribeSecurityGroupsCommand({ GroupIds: [outputs.id] }),
    );
    const wrong = { vpc: there?.VpcId !== props.vpc, name: there?.GroupName !== props.name };
    if ((wrong.vpc && !ctx.hold.includes('vpc')) || (wrong.name && !ctx.hold.includes('name')))
      throw new UserError({
        what: `the security group is ${there?.GroupName ?? outputs.id} in ${there?.VpcId ?? 'no VPC'}, and the cluster needs ${props.name} in ${props.vpc}`,
        where: `${ctx.address} (${outputs.id})`,
        next: `delete ${outputs.id}, if nobody needs it, and run the same command again`,
      });
    await setTags(ctx, outputs.id, props.tags);
    return outputs;
  },
  async delete({ id }, ctx) {
    await whileHeld(
      ctx,
      () => interfacesIn(ctx, 'group-id', id),
      () => ctx.clients.ec2.send(new DeleteSecurityGroupCommand({ GroupId: id })),
    );
  },
};

async function ownByName(name: string, vpc: string, ctx: Context<AwsClients>): Promise<string> {
  const { ec2, owner } = ctx.clients;
  const filters = [
    { Name: 'vpc-id', Values: [vpc] },
    { Name: 'group-name', Values: [name] },
  ];
  // Made a moment ago by the same call, whose answer was lost: AWS may hide it, or its tags, for a while.
  let found: SecurityGroup | undefined;
  await shown(ctx, async () => {
    [found] = (await ec2.send(new DescribeSecurityGroupsCommand({ Filters: filters }))).SecurityGroups ?? [];
    return found?.Tags?.[0];
  });
  if (found?.GroupId && resourceIn(tagsFrom(found.Tags), owner.cluster, securityGroup.name) === ctx.address) return found.GroupId;
  throw new UserError({
    what: `a security group ${name} exists in ${vpc}, and it is not this cluster's`,
    where: found?.GroupId ?? name,
    why: 'it has not the tags that Slipway gives what it makes',
    next: 'delete it, or give the cluster another name',
  });
}
