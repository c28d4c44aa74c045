import { DescribeTagsCommand, type ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import { UserError } from '../../src/errors.ts';
import { sha256 } from '../../src/plan/canonical.ts';
import { type Address, nameOf } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { codeOf } from './errors.ts';
import { resourceIn, type Tags, tagsFrom } from './tags.ts';

/** Load balancers and target groups have names of 32 characters at most, each once in an account and region. */
export function edgeName(cluster: string, address: Address): string {
  const name = `slipway-${cluster}-${nameOf(address)}`;
  return name.length <= 32 ? name : `${name.slice(0, 23).replace(/-+$/, '')}-${sha256(name).slice(0, 8)}`;
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
export async function createNamed<T>(create: () => Promise<T | undefined>, find: () => Promise<T | undefined>): Promise<T> {
  try {
    const made = await create();
    if (made !== undefined) return made;
  } catch (error) {
    if (!codeOf(error).startsWith('Duplicate')) throw error;
  }
  const there = await find();
  if (there === undefined)
    throw new UserError({ what: 'AWS says that it exists, and does not show it', next: 'run the same command again' });
  return there;
}
