import { DescribeAutoScalingGroupsCommand } from '@aws-sdk/client-auto-scaling';
import { DescribeLaunchTemplatesCommand, DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2';
import { DescribeTargetGroupsCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import { GetRoleCommand } from '@aws-sdk/client-iam';
import type { Finding } from '../../src/config/finding.ts';
import { UserError } from '../../src/errors.ts';
import { nameOf, typeOf } from '../../src/plan/resource.ts';
import { hasBucket } from './bucket.ts';
import { edgeName, elbTags } from './edge.ts';
import { unlessNotFound } from './errors.ts';
import { groupName } from './pool.ts';
import { roleName } from './role.ts';
import { clusterTag, tagsFrom } from './tags.ts';
import { templateName } from './template-versions.ts';
import { type Check, ok, unasked, type Verifying } from './verify-check.ts';
import type { World } from './verify-world.ts';

const check = 'aws.names';

/** A thing of a name that this cluster needs, with the tags that it has. */
interface Holder {
  readonly what: string;
  readonly where: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** Names that exist once in an account: none may be somebody else's. */
export const verifyNames: Check = async (of, world) => {
  const questions: readonly (readonly [string, (of: Verifying, world: World) => Promise<readonly Holder[]>])[] = [
    ['names of load balancers', balancers],
    ['names of target groups', targetGroups],
    ['names of roles', roles],
    ['names of launch templates', templates],
    ['names of Auto Scaling groups', groups],
    ['names of security groups', securityGroups],
  ];
  const answers = await Promise.all([
    bucket(of),
    ...questions.map(async ([what, ask]): Promise<readonly Finding[]> => {
      try {
        return (await ask(of, world)).filter(({ tags }) => tags[clusterTag] !== of.owner.cluster).map(taken);
      } catch (error) {
        of.signal.throwIfAborted();
        return [unasked(check, what, error)];
      }
    }),
  ]);
  const findings = answers.flat();
  return findings.some(({ severity }) => severity === 'error')
    ? findings
    : [...findings, ok(check, 'no name that it needs is taken by others')];
};

const taken = ({ what, where, tags }: Holder): Finding => {
  const other = tags[clusterTag];
  return {
    severity: 'error',
    check,
    where,
    what: `${what} exists, and it is ${other === undefined ? "not this cluster's" : `cluster ${other}'s`}`,
    why: 'it has not the tags that Slipway gives what it makes for this cluster',
    next: 'give the cluster another name, or remove it if nobody needs it',
  };
};

const named = ({ resources }: Verifying, type: string) =>
  resources.filter(({ address }) => typeOf(address) === type).map(({ address }) => address);

async function balancers(of: Verifying, world: World): Promise<readonly Holder[]> {
  const names = named(of, 'aws.balancer').map((address) => edgeName(of.owner.cluster, address));
  const there = (await world.balancers()).filter(({ LoadBalancerName: name }) => name !== undefined && names.includes(name));
  const tags = await elbTags(
    of.sdk.elb,
    there.flatMap(({ LoadBalancerArn }) => LoadBalancerArn ?? []),
  );
  return there.map(({ LoadBalancerName, LoadBalancerArn = '' }) => ({
    what: `a load balancer ${LoadBalancerName}`,
    where: LoadBalancerArn,
    tags: tags.get(LoadBalancerArn) ?? {},
  }));
}

async function targetGroups(of: Verifying): Promise<readonly Holder[]> {
  const { elb } = of.sdk;
  const found = await Promise.all(
    named(of, 'aws.target-group').map((address) =>
      elb
        .send(new DescribeTargetGroupsCommand({ Names: [edgeName(of.owner.cluster, address)] }), { abortSignal: of.signal })
        .catch(unlessNotFound),
    ),
  );
  const there = found.flatMap((answer) => answer?.TargetGroups ?? []);
  const tags = await elbTags(
    elb,
    there.flatMap(({ TargetGroupArn }) => TargetGroupArn ?? []),
  );
  return there.map(({ TargetGroupName, TargetGroupArn = '' }) => ({
    what: `a target group ${TargetGroupName}`,
    where: TargetGroupArn,
    tags: tags.get(TargetGroupArn) ?? {},
  }));
}

async function roles(of: Verifying): Promise<readonly Holder[]> {
  const found = await Promise.all(
    named(of, 'aws.role').map((address) =>
      of.sdk.iam
        .send(new GetRoleCommand({ RoleName: roleName({ owner: of.owner, region: of.region }, address) }), {
          abortSignal: of.signal,
        })
        .catch(unlessNotFound),
    ),
  );
  return found.flatMap((answer) =>
    answer?.Role
      ? [{ what: `a role ${answer.Role.RoleName}`, where: answer.Role.Arn ?? '', tags: tagsFrom(answer.Role.Tags) }]
      : [],
  );
}

/** By a filter: a name that does not exist is no error of it. */
async function templates(of: Verifying): Promise<readonly Holder[]> {
  const Values = named(of, 'aws.launch-template').map((address) => templateName(of.owner.cluster, address));
  if (Values.length === 0) return [];
  const { LaunchTemplates = [] } = await of.sdk.ec2.send(
    new DescribeLaunchTemplatesCommand({ Filters: [{ Name: 'launch-template-name', Values }] }),
    { abortSignal: of.signal },
  );
  return LaunchTemplates.map(({ LaunchTemplateName, LaunchTemplateId = '', Tags }) => ({
    what: `a launch template ${LaunchTemplateName}`,
    where: LaunchTemplateId,
    tags: tagsFrom(Tags),
  }));
}

const namesAtOnce = 50;
async function groups(of: Verifying): Promise<readonly Holder[]> {
  const names = named(of, 'aws.pool').map((address) => groupName(of.owner.cluster, address));
  const pages = Array.from({ length: Math.ceil(names.length / namesAtOnce) }, (_, i) =>
    names.slice(i * namesAtOnce, (i + 1) * namesAtOnce),
  );
  const found = await Promise.all(
    pages.map((AutoScalingGroupNames) =>
      of.sdk.autoscaling.send(new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames }), { abortSignal: of.signal }),
    ),
  );
  return found
    .flatMap(({ AutoScalingGroups = [] }) => AutoScalingGroups)
    .map(({ AutoScalingGroupName: name = '', Tags }) => ({
      what: `an Auto Scaling group ${name}`,
      where: name,
      tags: tagsFrom(Tags),
    }));
}

/** Names of security groups are one name space a VPC: only one that exists can hold others'. */
async function securityGroups(of: Verifying): Promise<readonly Holder[]> {
  const vpc = of.topology.cluster.provider.aws?.vpc?.id;
  const Values = named(of, 'aws.security-group').map((address) => `${of.owner.cluster}-${nameOf(address)}`);
  if (vpc === undefined) return [];
  const Filters = [
    { Name: 'vpc-id', Values: [vpc] },
    { Name: 'group-name', Values },
  ];
  const { SecurityGroups = [] } = await of.sdk.ec2.send(new DescribeSecurityGroupsCommand({ Filters }), {
    abortSignal: of.signal,
  });
  return SecurityGroups.map(({ GroupName, GroupId = '', Tags }) => ({
    what: `a security group ${GroupName} in ${vpc}`,
    where: GroupId,
    tags: tagsFrom(Tags),
  }));
}

/** Names of buckets are one name space of all accounts. */
async function bucket({ sdk, bucket: name, account, signal }: Verifying): Promise<readonly Finding[]> {
  try {
    await hasBucket(sdk.s3, name, account);
    return [];
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof UserError)) return [unasked(check, 'the name of the bucket', error)];
    const { what, where, why, next } = error.problem;
    return [{ severity: 'error', check, what, ...(where && { where }), ...(why && { why }), ...(next && { next }) }];
  }
}
