import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type EtcdCluster, etcdClusters, etcdUnit } from '../components/etcd.ts';
import { certFile, keyFile, trustFile } from '../components/pki.ts';
import { messageOf, UnreachableError, UserError } from '../errors.ts';
import { bounded } from '../host/bounded.ts';
import type { HostsClients } from '../host/host.ts';
import { quote } from '../host/quote.ts';
import { script } from '../host/scripts.ts';
import { parseJson } from '../plan/canonical.ts';
import type { MemberView } from './gateway.ts';
import { type ClusterView, viewCluster } from './view.ts';

/** What is known of a snapshot before its bytes have come. */
export interface SnapshotHead {
  readonly cluster: EtcdCluster;
  /** Host of the member that it was taken of. */
  readonly member: string;
  /** etcd's version there. */
  readonly etcd: string;
  /** Of the last change that it holds. */
  readonly revision: number;
  /** etcd's own, of all keys and values. */
  readonly hash: number;
  readonly keys: number;
  /** Bytes of the file. */
  readonly size: number;
}
export interface Snapshot {
  readonly head: SnapshotHead;
  /**
   * The file, to be read once, and at once. It ends by throwing when it was cut, or is not what etcd sent: what came until then is no snapshot.
   */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** For whoever does not read it to its end. */
  close(): void;
}

/** What etcd's tools may take, in milliseconds: a minute, and what a slow disk takes for that many bytes. */
const [toolsMs, toolsBytesPerMs] = [60_000, 5_000];
/** How long a host that sends may say nothing. */
const silentMs = 30_000;
const lineLimit = 64 * 1024;
/** `etcdctl snapshot save` ends the file with the SHA-256 that etcd sent, of all that stands before it. */
const trailer = 32;

/**
 * Takes a snapshot of a healthy member that has everything that any member has, with etcd's own tools on its host. Throws UserError, and UnreachableError.
 */
export async function takeSnapshot(clients: HostsClients, cluster: EtcdCluster, signal: AbortSignal): Promise<Snapshot> {
  const { views, hosts } = await viewCluster({ clients, cluster, signal });
  const { name, view, revision } = sourceIn(cluster, views);
  const where = `${name}, etcd ${cluster}`;
  const { dbSize, version } = view.status;
  const ending = new AbortController();
  try {
    const host = await clients.hosts.get(name, { signal });
    const all = AbortSignal.any([signal, ending.signal]);
    const next = reader(await host.stream(await commandFor(cluster, hosts.get(name)?.peerUrl, dbSize), all), all, where);
    const { line, rest } = await firstLine(next, toolsMs + dbSize / toolsBytesPerMs);
    const { size, status } = await readHead(line, rest, next, where);
    if (status.revision < revision)
      throw new UserError({
        what: `the snapshot is older than the cluster: it ends at revision ${status.revision}, and ${revision} was there before`,
        where,
        next: 'run the same command again; if it stays so, look at this member: cluster status',
      });
    return {
      head: { cluster, member: name, etcd: version, revision: status.revision, hash: status.hash, keys: status.totalKey, size },
      bytes: whole(rest, next, size, where, () => ending.abort()),
      close: () => ending.abort(),
    };
  } catch (error) {
    ending.abort();
    throw error;
  }
}

async function commandFor(cluster: EtcdCluster, peerUrl: string | undefined, dbSize: number): Promise<string> {
  const address = peerUrl === undefined ? '127.0.0.1' : new URL(peerUrl).hostname;
  const neededKb = Math.ceil((dbSize * 1.1) / 1024) + 64 * 1024;
  const words = [
    cluster,
    etcdUnit(cluster),
    `https://${address}:${etcdClusters[cluster].client}`,
    `${neededKb}`,
    trustFile('etcd'),
    certFile('etcd-server'),
    keyFile('etcd-server'),
  ];
  // Streams have no stdin, and nothing of this is secret.
  return `set -- ${words.map(quote).join(' ')}\n${await script('snapshot')}`;
}

/**
 * Whom to ask: a healthy voter at the highest revision that anybody told. A follower where there is a choice: the leader has work enough. Who knows a
 * leader has quorum (raft's CheckQuorum).
 */
export function sourceIn(
  cluster: EtcdCluster,
  views: ClusterView['views'],
): { readonly name: string; readonly view: MemberView; readonly revision: number } {
  const usable = [...views].flatMap(([name, view]) => (isUsable(view) ? [{ name, view }] : []));
  const revision = Math.max(0, ...usable.map(({ view }) => view.status.header.revision));
  const inSync = usable.filter(({ view }) => view.status.header.revision === revision);
  const follows = ({ status }: MemberView): boolean => status.leader !== status.header.member_id;
  const source = inSync.find(({ view }) => follows(view)) ?? inSync[0];
  if (source) return { ...source, revision };
  throw new UnreachableError({
    what: 'no healthy member answers, so no snapshot can be taken',
    where: `etcd ${cluster}`,
    why: [...views]
      .map(([name, view]) => `${name}: ${view ? view.status.errors.join('; ') || 'it knows no leader' : 'no answer'}`)
      .join('\n'),
    next: 'cluster status says which member is not well; cluster up heals',
  });
}
/** A full etcd can still be read, and that is when a snapshot is wanted most. */
const isUsable = (view: MemberView | undefined): view is MemberView =>
  view !== undefined &&
  view.status.leader !== '0' &&
  !view.status.isLearner &&
  view.status.errors.every((error) => /NOSPACE/i.test(error));

/** The next bytes; undefined: there are no more. */
type Next = (withinMs: number) => Promise<Buffer | undefined>;

function reader(stream: NodeJS.ReadableStream, signal: AbortSignal, where: string): Next {
  const chunks = stream[Symbol.asyncIterator]();
  return async (withinMs) => {
    try {
      const late = `it has said nothing for ${Math.round(withinMs / 1000)} s`;
      const next = await bounded<IteratorResult<string | Buffer>>(signal, withinMs, late, (resolve, reject) => {
        chunks.next().then(resolve, reject);
      });
      return next.done ? undefined : Buffer.from(next.value);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const what = 'the host was cut off while it took and sent a snapshot';
      throw new UnreachableError({ what, where, why: messageOf(error), next: 'run the same command again' }, { cause: error });
    }
  };
}

async function firstLine(next: Next, withinMs: number): Promise<{ readonly line: string; readonly rest: Buffer }> {
  let text = Buffer.alloc(0);
  for (;;) {
    const end = text.indexOf('\n');
    if (end >= 0) return { line: text.subarray(0, end).toString(), rest: text.subarray(end + 1) };
    const more = text.length > lineLimit ? undefined : await next(withinMs);
    if (!more) return { line: text.subarray(0, lineLimit).toString(), rest: Buffer.alloc(0) };
    text = Buffer.concat([text, more]);
  }
}

/** What `etcdutl snapshot status -w json` says. */
const statusSchema = z.object({
  hash: z.int(),
  revision: z.int().min(1),
  totalKey: z.int().min(0),
  totalSize: z.int().min(1),
});
type Status = z.output<typeof statusSchema>;

async function readHead(
  line: string,
  rest: Buffer,
  next: Next,
  where: string,
): Promise<{ readonly size: number; readonly status: Status }> {
  const refused = /^refused (.*)$/.exec(line)?.[1];
  if (refused !== undefined) {
    let said = rest.toString();
    for (let more = await next(silentMs); more; more = await next(silentMs)) said += more.toString();
    throw new UserError({
      what: `no snapshot was taken: ${refused}`,
      where,
      ...(said.trim() !== '' && { why: said.trim() }),
      next: 'mend that and run the same command again',
    });
  }
  const [, bytes = '', json = ''] = /^snapshot (\d+) (\{.*\})$/.exec(line) ?? [];
  const status = statusSchema.safeParse(parseJson(json));
  const size = Number(bytes);
  if (status.success && size >= status.data.totalSize) return { size, status: status.data };
  throw new UserError({
    what: 'no snapshot was taken: the host did not say what it holds',
    where,
    why: line.slice(0, 400) || 'no answer',
    next: 'run the same command again',
  });
}

/** The file, until all of it has come and is what etcd sent. A truncated one still pleases `etcdutl snapshot status`. */
async function* whole(
  first: Buffer,
  next: Next,
  size: number,
  where: string,
  end: () => void,
): AsyncGenerator<Uint8Array, undefined> {
  const hash = createHash('sha256');
  let tail: Buffer = Buffer.alloc(0);
  let count = 0;
  try {
    for (let chunk: Buffer | undefined = first; chunk; chunk = await next(silentMs)) {
      if (chunk.length === 0) continue;
      count += chunk.length;
      const held = Buffer.concat([tail, chunk]);
      const before = Math.max(0, held.length - trailer);
      hash.update(held.subarray(0, before));
      tail = held.subarray(before);
      yield chunk;
    }
    if (count !== size)
      throw new UnreachableError({
        what: `the snapshot was cut: ${count} of ${size} bytes came`,
        where,
        next: 'run the same command again',
      });
    if (!hash.digest().equals(tail))
      throw new UserError({
        what: 'the snapshot is damaged: what came is not what etcd sent',
        where,
        why: 'the SHA-256 at its end is another one',
        next: 'run the same command again; if it stays so, look at the disk of this host',
      });
    return undefined;
  } finally {
    end();
  }
}
