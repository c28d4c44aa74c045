import { setTimeout as sleep } from 'node:timers/promises';
import { CreateTagsCommand, type ResourceType as Ec2Type } from '@aws-sdk/client-ec2';
import { messageOf, UserError } from '../../src/errors.ts';
import type { Address, Context } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { codeOf, isNotFound } from './errors.ts';
import { ofCluster, resourceIn, resourceTag, type Tag, type Tags, tagList, tagsFrom } from './tags.ts';

/** What EC2's things of a cluster have in common. */

/** For a create: the thing carries its tags from its first moment. */
export const tagged = (kind: Ec2Type, tags: Tags) => [{ ResourceType: kind, Tags: tagList(tags) }];
/** For `Filters`: the one thing at this address. */
export const atAddress = (cluster: string, address: Address) => [
  ...ofCluster(cluster),
  { Name: `tag:${resourceTag}`, Values: [address] },
];

export async function setTags({ clients }: Context<AwsClients>, id: string, tags: Tags): Promise<void> {
  if (Object.keys(tags).length > 0) await clients.ec2.send(new CreateTagsCommand({ Resources: [id], Tags: tagList(tags) }));
}

/** The ID in a create's answer. */
export function made(id: string | undefined): string {
  if (id === undefined) throw new Error('AWS says that it made something, and not what');
  return id;
}

type MaybeTag = { readonly [K in keyof Tag]?: Tag[K] | undefined };
export interface Own<T> {
  readonly thing: T;
  readonly tags: Tags;
  readonly address: Address;
}
/**
 * Those of a cluster, by their tags. Of two at one address (a create whose answer was lost, and that AWS hid for too long) the one that is
 * used keeps it; the other gets an address that no design has, so that it goes.
 */
export function ownOf<T extends object>(
  things: readonly T[],
  {
    cluster,
    type,
    idOf,
    tagsOf = (thing) => ('Tags' in thing && Array.isArray(thing.Tags) ? thing.Tags : []),
    used = () => false,
  }: {
    readonly cluster: string;
    readonly type: string;
    readonly idOf: (thing: T) => string | undefined;
    /** Most of EC2 says `Tags`. */
    readonly tagsOf?: (thing: T) => readonly MaybeTag[] | undefined;
    readonly used?: (thing: T) => boolean;
  },
): readonly Own<T>[] {
  const own = things.flatMap((thing): Own<T>[] => {
    const tags = tagsFrom(tagsOf(thing));
    const address = resourceIn(tags, cluster, type);
    return address ? [{ thing, tags, address }] : [];
  });
  const first = (a: Own<T>, b: Own<T>): number =>
    Number(used(b.thing)) - Number(used(a.thing)) || ((idOf(a.thing) ?? '') < (idOf(b.thing) ?? '') ? -1 : 1);
  const taken = new Set<Address>();
  return own.toSorted(first).map((one) => {
    if (taken.has(one.address)) return { ...one, address: `${one.address}~${idOf(one.thing)}` };
    taken.add(one.address);
    return one;
  });
}

/** Calls again while AWS does not know yet what it has just made itself. `unseen`: how else a service says so. */
export async function visible<T>(
  { clients, signal }: Pick<Context<AwsClients>, 'signal'> & { readonly clients: Pick<AwsClients, 'windowMs'> },
  call: () => Promise<T>,
  unseen: (error: unknown) => boolean = () => false,
): Promise<T> {
  const end = performance.now() + clients.windowMs;
  for (let wait = 100; ; wait = Math.min(wait * 2, 2000)) {
    try {
      return await call();
    } catch (error) {
      if (!(isNotFound(error) || unseen(error)) || performance.now() > end) throw error;
    }
    await sleep(wait, undefined, { signal });
  }
}

/** Asks again while AWS does not show what it says is there; undefined: it never did. */
export async function shown<T>(
  { clients, signal }: Parameters<typeof visible>[0],
  find: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const end = performance.now() + clients.windowMs;
  for (let wait = 100; ; wait = Math.min(wait * 2, 2000)) {
    const found = await find();
    if (found !== undefined || performance.now() > end) return found;
    await sleep(wait, undefined, { signal });
  }
}

const held = [
  'DependencyViolation',
  'InvalidGroup.InUse',
  'ResourceInUse',
  'InvalidIPAddress.InUse',
  'InvalidNetworkInterface.InUse',
  'VolumeInUse',
];
/**
 * Deletes what others may still hold for a while (network interfaces of a balancer that has just gone): again and again, until the step's
 * time is over; then the error names what holds it. What is gone already is deleted.
 */
export async function whileHeld(
  { address, signal, progress }: Context<AwsClients>,
  holders: () => Promise<readonly string[]>,
  call: () => Promise<unknown>,
): Promise<void> {
  for (let wait = 500; ; wait = Math.min(wait * 1.5, 5000)) {
    try {
      await call();
      return;
    } catch (error) {
      if (isNotFound(error)) return;
      if (!held.includes(codeOf(error))) throw error;
      const by = await holders();
      progress(by.length > 0 ? `held by ${by.join(', ')}` : messageOf(error));
      await sleep(wait, undefined, { signal }).catch(() => {
        throw new UserError({
          what: 'it is still in use, so it could not be deleted',
          where: address,
          why: [`${messageOf(error)} (${codeOf(error)})`, ...by].join('\n'),
          next: 'remove what uses it, if nobody needs it, then run the same command again',
        });
      });
    }
  }
}
