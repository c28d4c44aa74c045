import {
  DescribeListenersCommand,
  DescribeTagsCommand,
  DescribeTargetGroupsCommand,
  type ElasticLoadBalancingV2Client,
  type Listener,
  type LoadBalancer,
  paginateDescribeLoadBalancers,
  type TargetGroup,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { UserError } from '../../src/errors.ts';
import { sha256 } from '../../src/plan/canonical.ts';
import { type Address, type Context, nameOf } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { shown } from './ec2.ts';
import { codeOf, isNotFound } from './errors.ts';
import { resourceIn, type Tags, tagsFrom } from './tags.ts';

/** Load balancers and target groups have names of 32 characters at most, each once in an account and region. */
export function edgeName(cluster: string, address: Address): string {
  const name = `slipway-${cluster}-${nameOf(address)}`;
  return name.length <= 32 ? name : `${name.slice(0, 23).replace(/-+$/, '')}-${sha256(name).slice(0, 8)}`;
}

interface Own<T> {
  readonly thing: T;
  readonly arn: string;
  readonly tags: Tags;
  readonly address: Address;
}
interface OwnBalancer extends Own<LoadBalancer> {
  readonly listener: { readonly thing: Listener; readonly tags: Tags } | undefined;
}
export interface Edge {
  readonly balancers: readonly OwnBalancer[];
  readonly groups: readonly Own<TargetGroup>[];
}
/**
 * The balancers, their listeners and the target group of a cluster, with all their tags, in four calls. Balancers are asked for without a name: asking for two
 * names fails where one is missing, and a page holds 400 of them.
 */
export async function edge(clients: AwsClients): Promise<Edge> {
  const { elb, owner } = clients;
  const names = new Set(
    (['aws.balancer/api', 'aws.balancer/public'] as const).map((address) => edgeName(owner.cluster, address)),
  );
  const [balancers, groups] = await Promise.all([
    balancersNamed(elb, names),
    groupsNamed(clients, edgeName(owner.cluster, 'aws.target-group/api')),
  ]);
  const arnOf = ({ LoadBalancerArn = '' }: LoadBalancer): string => LoadBalancerArn;
  const listeners = new Map(
    await Promise.all(balancers.map(async (one) => [arnOf(one), (await listenersOf(clients, arnOf(one)))[0]] as const)),
  );
  const tags = await elbTags(elb, [
    ...[...listeners.values()].flatMap((one) => one?.ListenerArn ?? []),
    ...balancers.flatMap(({ LoadBalancerArn }) => LoadBalancerArn ?? []),
    ...groups.flatMap(({ TargetGroupArn }) => TargetGroupArn ?? []),
  ]);
  const own = <T>(things: readonly T[], arnOf: (thing: T) => string | undefined, type: string): readonly Own<T>[] =>
    things.flatMap((thing) => {
      const arn = arnOf(thing) ?? '';
      const carried = tags.get(arn) ?? {};
      const address = resourceIn(carried, owner.cluster, type);
      return address ? [{ thing, arn, tags: carried, address }] : [];
    });
  return {
    balancers: own(balancers, arnOf, 'aws.balancer').map((one) => {
      const thing = listeners.get(one.arn);
      return { ...one, listener: thing && { thing, tags: tags.get(thing.ListenerArn ?? '') ?? {} } };
    }),
    groups: own(groups, ({ TargetGroupArn }) => TargetGroupArn, 'aws.target-group'),
  };
}

async function balancersNamed(elb: ElasticLoadBalancingV2Client, names: ReadonlySet<string>): Promise<readonly LoadBalancer[]> {
  const found: LoadBalancer[] = [];
  for await (const { LoadBalancers = [] } of paginateDescribeLoadBalancers({ client: elb, pageSize: 400 }, {}))
    found.push(...LoadBalancers.filter(({ LoadBalancerName }) => names.has(LoadBalancerName ?? '')));
  return found;
}

export async function listenersOf({ elb }: AwsClients, balancer: string): Promise<readonly Listener[]> {
  try {
    return (await elb.send(new DescribeListenersCommand({ LoadBalancerArn: balancer }))).Listeners ?? [];
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
}

export async function groupsNamed({ elb }: AwsClients, name: string): Promise<readonly TargetGroup[]> {
  try {
    const { TargetGroups = [] } = await elb.send(new DescribeTargetGroupsCommand({ Names: [name] }));
    return TargetGroups;
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
}

const arnsAtOnce = 20;
/** Tags by ARN. */
export async function elbTags(elb: ElasticLoadBalancingV2Client, arns: readonly string[]): Promise<ReadonlyMap<string, Tags>> {
  const pages = Array.from({ length: Math.ceil(arns.length / arnsAtOnce) }, (_, i) =>
    arns.slice(i * arnsAtOnce, (i + 1) * arnsAtOnce),
  );
  const answers = await Promise.all(pages.map((page) => elb.send(new DescribeTagsCommand({ ResourceArns: page }))));
  return new Map(
    answers.flatMap(({ TagDescriptions = [] }) =>
      TagDescriptions.map(({ ResourceArn = '', Tags: tags }) => [ResourceArn, tagsFrom(tags)] as const),
    ),
  );
}

/** A name that can exist once gives back whoever's it is. */
export async function mustBeOurs({ elb, owner }: AwsClients, arn: string, address: Address): Promise<void> {
  const tags = (await elbTags(elb, [arn])).get(arn) ?? {};
  const [type = ''] = address.split('/');
  if (resourceIn(tags, owner.cluster, type) === address) return;
  throw new UserError({
    what: `${edgeName(owner.cluster, address)} exists, and it is not this cluster's`,
    where: arn,
    why: 'it has not the tags that Slipway gives what it makes',
    next: 'remove it, or give the cluster another name',
  });
}

/** A name can exist once: the same call again gives back the same thing or, where a setting has changed since, says that it is there. */
export async function createNamed<T>(
  ctx: Context<AwsClients>,
  create: () => Promise<T | undefined>,
  find: () => Promise<T | undefined>,
): Promise<T> {
  try {
    const made = await create();
    if (made !== undefined) return made;
  } catch (error) {
    if (!codeOf(error).startsWith('Duplicate')) throw error;
  }
  const there = await shown(ctx, find);
  if (there === undefined)
    throw new UserError({ what: 'AWS says that it exists, and does not show it', next: 'run the same command again' });
  return there;
}
