import pLimit from 'p-limit';
import type { Bundle } from '../components/bundle.ts';
import { messageOf } from '../errors.ts';
import type { Hosts } from '../host/host.ts';
import { readFiles } from '../host/read-files.ts';
import {
  diffsOf,
  type Entry,
  entriesOf,
  entriesOfDesigns,
  type HostChange,
  type Patches,
  type ReadTexts,
  textsToRead,
} from './diffs.ts';
import { restartsBetween, restartsOf, versionsIn } from './reasons.ts';
import type { Turn } from './rollout.ts';

/** What a dry run shows of one machine's turn. */
export type TurnContent = Pick<Turn, 'versions' | 'restarts' | 'files'>;

/** Hosts of which files are read at once. */
const atOnce = 16;
const connectMs = 6_000;

/**
 * What changes on each host, by its name: versions, restarts and diffs. Only hosts that hold a text which no design knows are asked, in one round trip each;
 * one that does not answer is described by digests. Throws only on abort.
 */
export async function describeHosts(
  changes: readonly HostChange[],
  hosts: Pick<Hosts, 'get'>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, TurnContent>> {
  const limit = pLimit(atOnce);
  const patches: Patches = new Map();
  const one = async (change: HostChange): Promise<[string, TurnContent]> => {
    const paths = textsToRead(change);
    const read = paths.length === 0 ? new Map<string, string>() : await limit(() => readFrom(hosts, change.host, paths, signal));
    return [change.host, contentOf(entriesOf(change, read), restartsOf([change, { fields: change.units ?? [] }]), patches)];
  };
  return new Map(await Promise.all(changes.map(one)));
}

/** Of a machine that is made anew by another design: what differs between the two. Nothing restarts: everything starts. */
export const describeDesigns = (before: Bundle, after: Bundle): TurnContent =>
  contentOf(entriesOfDesigns(before, after), [], new Map());

/** Of a machine that will hold `before` by then, since an earlier wave brings it there: what differs between the designs, and what restarts by that. */
export const describeHop = (before: Bundle, after: Bundle): TurnContent => {
  const entries = entriesOfDesigns(before, after);
  return contentOf(entries, restartsBetween(before, entries), new Map());
};

const contentOf = (entries: readonly Entry[], restarts: readonly string[], patches: Patches): TurnContent => ({
  versions: [...versionsIn(entries)],
  restarts: [...restarts],
  files: [...diffsOf(entries, patches)],
});

async function readFrom(
  hosts: Pick<Hosts, 'get'>,
  name: string,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<ReadTexts> {
  try {
    return await readFiles(await hosts.get(name, { signal, waitMs: connectMs }), paths, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { unread: messageOf(error) };
  }
}
