import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { designBundles, identityOf } from '../../../src/components/bundles.ts';
import { UnreachableError, UserError } from '../../../src/errors.ts';
import type { MemberView } from '../../../src/etcd/gateway.ts';
import { sourceIn, takeSnapshot } from '../../../src/etcd/snapshot.ts';
import type { HostsClients } from '../../../src/host/host.ts';
import { designedAt } from '../../support/rollout.ts';
import { snapshotAnswer, snapshotFile, snapshotLine } from '../../support/snapshot.ts';

interface Told {
  readonly revision: number;
  readonly leads?: boolean;
  readonly learner?: boolean;
  readonly leaderless?: boolean;
  readonly errors?: readonly string[];
}
const view = (id: string, { revision, leads = false, learner = false, leaderless = false, errors = [] }: Told): MemberView => ({
  members: [{ ID: id, name: id, peerURLs: [], clientURLs: [], isLearner: learner }],
  status: {
    header: { member_id: id, cluster_id: '1', revision },
    version: '3.6.16',
    dbSize: 1000,
    dbSizeInUse: 1000,
    leader: leaderless ? '0' : leads ? id : '99',
    raftAppliedIndex: 1,
    raftIndex: 1,
    isLearner: learner,
    errors: [...errors],
  },
  alarms: [],
});

describe('the member that a snapshot is taken of', () => {
  const chosen = (told: Readonly<Record<string, Told | undefined>>): string =>
    sourceIn('main', new Map(Object.entries(told).map(([name, one]) => [name, one && view(name, one)]))).name;
  it('is a follower that has everything', () => {
    expect(chosen({ a: { revision: 9, leads: true }, b: { revision: 9 }, c: { revision: 9 } })).toBe('b');
  });
  it('is the leader where every follower lags behind', () => {
    expect(chosen({ a: { revision: 9, leads: true }, b: { revision: 8 }, c: undefined })).toBe('a');
  });
  it('is never a learner, one without a leader, or one that is corrupt; but a full one', () => {
    expect(
      chosen({ a: { revision: 9, learner: true }, b: { revision: 10, leaderless: true }, c: { revision: 9, leads: true } }),
    ).toBe('c');
    expect(chosen({ a: { revision: 9, errors: ['memberID:1 alarm:NOSPACE '] } })).toBe('a');
    expect(() => chosen({ a: { revision: 9, errors: ['memberID:1 alarm:CORRUPT '] } })).toThrow(/CORRUPT/);
  });
  it('is nobody where nobody answers: 69, and who', () => {
    expect(() => chosen({ a: undefined, b: { revision: 1, leaderless: true } })).toThrow(UnreachableError);
    expect(() => chosen({ a: undefined, b: { revision: 1, leaderless: true } })).toThrow(/a: no answer\nb: it knows no leader/);
  });
});

/** One etcd machine whose member is at this revision, and that answers the script by these chunks. */
function clientsOf(
  answer: (signal: AbortSignal) => Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  revision = 9,
): HostsClients {
  const { topology } = designedAt('1.36.3', { etcd: { count: 1 } });
  const bundles = designBundles(topology);
  const status = {
    header: { member_id: '1', revision: `${revision}` },
    version: '3.6.16',
    dbSize: '20480',
    leader: '1',
    raftTerm: '2',
  };
  const said = `${JSON.stringify({ members: [{ ID: '1', name: 'etcd-a' }] })}\n${JSON.stringify(status)}\n`;
  return {
    hosts: {
      access: () => ({ bastion: undefined, hosts: new Map(), api: undefined }),
      get: async (name) => ({
        name,
        exec: async () => ({ code: 0, stdout: said, stderr: '' }),
        interactive: async () => 0,
        stream: async (_command, signal) => Readable.from(answer(signal)),
      }),
      tunnel: () => {
        throw new Error('no tunnels');
      },
      close: async () => undefined,
    },
    machines: new Map(
      topology.machines.flatMap((machine) => {
        const bundle = bundles.get(machine.bundle);
        return bundle ? [[machine.name, { bundle, identity: identityOf(machine, topology) }]] : [];
      }),
    ),
    uid: 'uid',
    generation: 1,
    records: { get: async () => undefined, put: async () => undefined },
    delivery: 'mounted',
    storedAssets: async () => new Map(),
    assetFile: (path) => path,
    now: Date.now,
  };
}
const never = new AbortController().signal;
async function taken(chunks: readonly Uint8Array[], revision?: number): Promise<Buffer> {
  const { bytes } = await takeSnapshot(
    clientsOf(() => chunks, revision),
    'main',
    never,
  );
  const all: Uint8Array[] = [];
  for await (const chunk of bytes) all.push(chunk);
  return Buffer.concat(all);
}
const file = snapshotFile('what etcd sent, and a little more than the trailer is long');

describe('a snapshot', () => {
  it('comes whole, whatever pieces it comes in', async () => {
    const answer = snapshotAnswer(file);
    expect(await taken([answer])).toEqual(file);
    expect(await taken(Array.from(answer, (_, at) => answer.subarray(at, at + 1)))).toEqual(file);
    const { head, close } = await takeSnapshot(
      clientsOf(() => [answer]),
      'main',
      never,
    );
    close();
    expect(head).toEqual({
      cluster: 'main',
      member: 'etcd-a',
      etcd: '3.6.16',
      revision: 9,
      hash: 4711,
      keys: 3,
      size: file.length,
    });
  });
  it('that was cut anywhere is none', async () => {
    for (const length of [0, 1, 31, 32, file.length - 32, file.length - 1])
      await expect(taken([Buffer.from(snapshotLine(file.length)), file.subarray(0, length)])).rejects.toThrow(
        `the snapshot was cut: ${length} of ${file.length} bytes came`,
      );
    await expect(taken([snapshotAnswer(file), Buffer.from('x')])).rejects.toThrow('the snapshot was cut');
  });
  it('of which one bit is another is none', async () => {
    const other = Buffer.from(file);
    other[3] = (other[3] ?? 0) ^ 1;
    await expect(taken([snapshotAnswer(other)])).rejects.toThrow('the snapshot is damaged');
  });
  it('that is older than what was there before is none', async () => {
    await expect(taken([snapshotAnswer(file)], 10)).rejects.toThrow('ends at revision 9, and 10 was there before');
  });
  it('that the host refuses says why, in the words of the tool', async () => {
    const answer = [Buffer.from('refused the disk has no room for a snapshot: 3 MiB are free\n'), Buffer.from('last words\n')];
    const error = await taken(answer).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(String(error)).toMatch(/3 MiB are free\nlast words/);
    await expect(taken([Buffer.from('bash: syntax error\n')])).rejects.toThrow('the host did not say what it holds');
    await expect(taken([])).rejects.toThrow('no answer');
  });
  it('of a connection that breaks is cut, and says so', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield snapshotAnswer(file).subarray(0, 120);
      throw new Error('read ECONNRESET');
    }
    const { bytes } = await takeSnapshot(clientsOf(broken), 'main', never);
    await expect(Array.fromAsync(bytes)).rejects.toThrow(/cut off while it took and sent a snapshot\nread ECONNRESET/);
  });
  it('ends with its signal, also while the host says nothing', async () => {
    const stop = new AbortController();
    async function* silent(): AsyncGenerator<Uint8Array> {
      yield snapshotAnswer(file).subarray(0, 120);
      await new Promise(() => undefined);
    }
    const { bytes } = await takeSnapshot(clientsOf(silent), 'main', stop.signal);
    setTimeout(() => stop.abort(new Error('Ctrl-C')), 20);
    await expect(Array.fromAsync(bytes)).rejects.toThrow('Ctrl-C');
  });
});
