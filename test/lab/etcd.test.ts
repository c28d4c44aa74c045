import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { peerUrlOf } from '../../src/etcd/on-host.ts';
import { takeSnapshot } from '../../src/etcd/snapshot.ts';
import { etcdStatus } from '../../src/etcd/status.ts';
import { etcdCluster } from '../../src/etcd/types/cluster.ts';
import { type EtcdMemberProps, etcdMember } from '../../src/etcd/types/member.ts';
import { viewCluster } from '../../src/etcd/view.ts';
import type { HostsClients } from '../../src/host/host.ts';
import type { Address, Context, World } from '../../src/plan/resource.ts';
import { etcdBinary, LocalEtcd, missingEtcd } from '../support/local-etcd.ts';

/** The lives of an etcd cluster, on real etcd; hosts are directories, SSH is a local shell. */
describe.skipIf(missingEtcd)(`etcd on real members${missingEtcd ? `: skipped, ${missingEtcd}` : ''}`, { timeout: 90_000 }, () => {
  let lab: LocalEtcd;
  afterEach(() => lab.close());
  const types = () => ({ cluster: etcdCluster(lab.readFacts), member: etcdMember(lab.readFacts) });
  const messages: string[] = [];
  const ctx = (address: Address, clients: HostsClients): Context<HostsClients> => ({
    address,
    clients,
    signal: AbortSignal.timeout(80_000),
    token: '',
    since: 0,
    hold: [],
    secrets: { reveal: async () => new Uint8Array() },
    progress: (message) => void messages.push(`${address}: ${message}`),
  });
  const observe = async () => {
    const world: World<HostsClients> = {
      clients: lab.clients(),
      signal: AbortSignal.timeout(20_000),
      read: (query) => query(world.clients, world.signal),
    };
    return { clusters: await types().cluster.observe(world), members: await types().member.observe(world) };
  };
  const bootstrap = () => types().cluster.create?.({ initialised: true }, ctx('etcd.cluster/main', lab.clients()));
  const designed = (name: string): EtcdMemberProps => ({
    peerUrl: peerUrlOf('main', lab.clients().machines.get(name)?.identity.NODE_IP ?? ''),
    data: 'present',
    membership: 'voter',
  });
  const join1 = (name: string, clients = lab.clients()) =>
    types().member.create?.(designed(name), ctx(`etcd.member/main.${name}`, clients));
  const allVoters = async () => {
    const { members } = await observe();
    for (const name of lab.names) expect(members.get(`etcd.member/main.${name}`)).toMatchObject({ props: designed(name) });
    expect([...members.keys()]).toHaveLength(lab.names.length);
  };

  test('three members are bootstrapped together, and are voters', async () => {
    lab = new LocalEtcd(3, 77);
    expect((await observe()).clusters.size).toBe(0);
    const start = performance.now();
    await bootstrap();
    const took = performance.now() - start;
    expect(lab.records.has('etcd/main/initialised')).toBe(true);
    const before = lab.execs;
    await Promise.all(lab.names.map((name) => join1(name)));
    expect(lab.execs - before).toBe(3);
    await allVoters();
    expect((await observe()).clusters.get('etcd.cluster/main')).toMatchObject({ state: 'present' });
    const [status] = etcdStatus(await lab.readFacts());
    expect(status).toMatchObject({ cluster: 'main', quorum: 'held', voters: 3, healthyVoters: 3 });
    expect(status?.members.filter((member) => member.leader)).toHaveLength(1);
    expect(status?.members[0]).toMatchObject({ version: '3.6.16', state: 'healthy' });
    console.log(`bootstrap of three: ${Math.round(took)} ms`);
  });

  test('a bootstrap that is killed at any command is finished by running it again', async () => {
    lab = new LocalEtcd(3, 78);
    let commands = 0;
    for (let killAt = 1; ; killAt++) {
      commands = 0;
      lab.before = () => {
        if (++commands === killAt) throw new Error('killed');
      };
      const done = await bootstrap()?.then(
        () => true,
        (error: unknown) => {
          expect(String(error)).toMatch(/killed/);
          return false;
        },
      );
      // Commands on other hosts end when they end, as they would after a kill.
      await new Promise((wake) => setTimeout(wake, 150));
      if (done) break;
      expect(lab.records.size).toBe(0);
    }
    lab.before = () => {};
    await allVoters();
  });

  test('a volume with data of another cluster, or a member that is not reached, stops a bootstrap', async () => {
    lab = new LocalEtcd(3, 79);
    lab.cut.add('etcd-b');
    await expect(bootstrap()).rejects.toThrow(/only when every member is reached/);
    expect((await observe()).clusters.get('etcd.cluster/main')).toMatchObject({ state: 'unknown' });
    expect(existsSync(join(lab.volume('etcd-a'), 'bootstrap.env'))).toBe(false);
    lab.cut.clear();
    await bootstrap();
    await expect(bootstrap()).rejects.toThrow(/initialised before/);
    lab.records.clear();
    const clients = { ...lab.clients(), uid: 'another' };
    await expect(types().cluster.create?.({ initialised: true }, ctx('etcd.cluster/main', clients))).rejects.toThrow(
      /belongs to another cluster/,
    );
    // The record alone was lost: a living cluster is found again, and nothing is made anew.
    await bootstrap();
    await allVoters();
  });

  test('a member whose volume is lost is removed and joins again as a learner, and is promoted', async () => {
    lab = new LocalEtcd(3, 80);
    await bootstrap();
    const before = (await observe()).members.get('etcd.member/main.etcd-b');
    lab.loseVolume('etcd-b');
    const seen = (await observe()).members.get('etcd.member/main.etcd-b');
    expect(seen).toMatchObject({ state: 'present', props: { data: 'lost' } });
    // It must not come back by itself.
    lab.start('etcd-b');
    await join1('etcd-b');
    await allVoters();
    const after = (await observe()).members.get('etcd.member/main.etcd-b');
    expect(after?.state === 'present' && before?.state === 'present' && after.outputs).not.toEqual(
      before?.state === 'present' && before.outputs,
    );
    expect(readFileSync(join(lab.volume('etcd-b'), 'bootstrap.env'), 'utf8')).toContain('STATE=existing');
  });

  test('a join that is killed at any command is finished by running it again', async () => {
    lab = new LocalEtcd(3, 81);
    await bootstrap();
    lab.loseVolume('etcd-c');
    for (let killAt = 1; ; killAt++) {
      let commands = 0;
      lab.before = () => {
        if (++commands === killAt) throw new Error('killed');
      };
      const done = await join1('etcd-c')?.then(
        () => true,
        (error: unknown) => {
          expect(String(error)).toMatch(/killed/);
          return false;
        },
      );
      if (done) break;
    }
    lab.before = () => {};
    await allVoters();
  });

  test('a start that a killed run left behind is not taken for a member without data', async () => {
    lab = new LocalEtcd(3, 86);
    await bootstrap();
    lab.loseVolume('etcd-c');
    lab.before = (_host, command) => {
      if (command.includes('systemctl start')) throw new Error('killed');
    };
    await expect(join1('etcd-c')).rejects.toThrow('killed');
    const learner = (await observe()).members.get('etcd.member/main.etcd-c');
    // The killed run's command reaches the host late: just after the next run has looked at the volume.
    let looked = false;
    lab.before = (host, command) => {
      if (looked) {
        lab.before = () => {};
        writeFileSync(join(lab.volume('etcd-c'), '.slipway-member'), 'uid-1 etcd-c\n');
        lab.start('etcd-c');
        execFileSync('sleep', ['2']);
      }
      looked = host === 'etcd-c' && command.includes('mountpoint');
    };
    await join1('etcd-c');
    await allVoters();
    const voter = (await observe()).members.get('etcd.member/main.etcd-c');
    expect(voter?.state === 'present' && voter.outputs).toEqual(learner?.state === 'present' && learner.outputs);
  });

  test('a newcomer that starts as its removed predecessor is joined anew by the same run', async () => {
    lab = new LocalEtcd(3, 87);
    await bootstrap();
    lab.stop('etcd-c');
    const old = join(lab.root, 'old-data');
    cpSync(join(lab.volume('etcd-c'), 'data'), old, { recursive: true });
    lab.loseVolume('etcd-c');
    lab.before = (host, command) => {
      if (host !== 'etcd-c' || !command.includes('systemctl start')) return;
      lab.before = () => {};
      cpSync(old, join(lab.volume('etcd-c'), 'data'), { recursive: true });
    };
    await join1('etcd-c');
    await allVoters();
    expect(existsSync(join(lab.volume('etcd-c'), 'removed-member'))).toBe(true);
  });

  test('three members grow to five, asked for at once', async () => {
    lab = new LocalEtcd(3, 82);
    await bootstrap();
    const news = [lab.grow(), lab.grow()];
    expect((await observe()).members.size).toBe(3);
    const clients = lab.clients();
    const start = performance.now();
    await Promise.all(news.map((name) => join1(name, clients)));
    console.log(`3 → 5: ${Math.round(performance.now() - start)} ms`);
    await allVoters();
  });

  test('without quorum nothing joins, and what is stopped is not taken for lost', async () => {
    lab = new LocalEtcd(3, 83);
    await bootstrap();
    lab.stop('etcd-a');
    await allVoters();
    lab.loseVolume('etcd-b');
    const { members, clusters } = await observe();
    expect(clusters.get('etcd.cluster/main')).toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('the volume of etcd-b'),
    });
    expect(members.get('etcd.member/main.etcd-a')).toMatchObject({ props: { data: 'present' } });
    expect(members.get('etcd.member/main.etcd-b')).toMatchObject({ state: 'unknown' });
    await expect(join1('etcd-b')).rejects.toThrow(/no quorum/);
    lab.start('etcd-a');
    await join1('etcd-a');
    await join1('etcd-b');
    await allVoters();
  });

  test('a member that its cluster removed while it was away joins again with new data', async () => {
    lab = new LocalEtcd(3, 84);
    await bootstrap();
    const { members } = await observe();
    const c = members.get('etcd.member/main.etcd-c');
    lab.stop('etcd-c');
    if (c?.state !== 'present') throw new Error('etcd-c was not seen');
    await types().member.delete?.(c.outputs, ctx('etcd.member/main.etcd-c', lab.clients()));
    expect((await observe()).members.has('etcd.member/main.etcd-c')).toBe(false);
    await join1('etcd-c');
    await allVoters();
    rmSync(join(lab.volume('etcd-c'), 'removed-member'), { recursive: true });
  });

  test('data of a removed member beside a learner that has its address is moved aside, and the learner takes its place', async () => {
    lab = new LocalEtcd(3, 85);
    await bootstrap();
    const { members } = await observe();
    const c = members.get('etcd.member/main.etcd-c');
    lab.stop('etcd-c');
    if (c?.state !== 'present') throw new Error('etcd-c was not seen');
    const { clients, address } = { clients: lab.clients(), address: 'etcd.member/main.etcd-c' } as const;
    await types().member.delete?.(c.outputs, ctx(address, clients));
    // As a run that was killed between adding and starting leaves it.
    const { memberHost, peerUrlOf: urlOf } = await import('../../src/etcd/on-host.ts');
    const body = { peerURLs: [urlOf('main', lab.address('etcd-c'))], isLearner: true };
    for (let tries = 0; tries < 100; tries++) {
      const added = await memberHost(clients, 'main', 'etcd-a')
        .call('cluster/member/add', body, AbortSignal.timeout(10_000))
        .then(
          () => true,
          () => false,
        );
      if (added) break;
      await new Promise((wake) => setTimeout(wake, 150));
    }
    await join1('etcd-c');
    await allVoters();
    expect(existsSync(join(lab.volume('etcd-c'), 'removed-member'))).toBe(true);
  });

  const leave1 = async (name: string, clients = lab.clients()) => {
    const address: Address = `etcd.member/main.${name}`;
    const seen = (await observe()).members.get(address);
    if (seen?.state !== 'present') throw new Error(`${name} was not seen`);
    await types().member.delete?.(seen.outputs, ctx(address, clients));
  };
  const leader = async (): Promise<string | undefined> => {
    const { viewCluster } = await import('../../src/etcd/view.ts');
    const { leaderOf } = await import('../../src/etcd/leader.ts');
    const view = await viewCluster({ clients: lab.clients(), cluster: 'main', signal: AbortSignal.timeout(10_000) });
    return view.list?.find(({ ID }) => ID === leaderOf(view))?.name;
  };

  test('five members become three and then one: each leaves in its turn, the leader first handing over', async () => {
    lab = new LocalEtcd(5, 86);
    await bootstrap();
    const first = await leader();
    // Who leads is among those that go.
    const going = [...lab.names.filter((name) => name !== first).slice(0, 1), first ?? ''];
    for (const name of going) lab.former.add(name);
    expect((await observe()).members.size).toBe(5);
    const clients = lab.clients();
    messages.length = 0;
    const start = performance.now();
    await Promise.all(going.map((name) => leave1(name, clients)));
    console.log(`5 → 3: ${Math.round(performance.now() - start)} ms`);
    expect(messages.filter((message) => /is to lead$/.test(message))).toHaveLength(1);
    expect([...(await observe()).members.keys()].sort()).toEqual(
      lab.names.filter((name) => !going.includes(name)).map((name) => `etcd.member/main.${name}`),
    );
    const [stays, ...rest] = lab.names.filter((name) => !lab.former.has(name));
    for (const name of rest) lab.former.add(name);
    // Of three, one is designed: the two others still vote, and are asked.
    const { members, clusters } = await observe();
    expect(members.size).toBe(3);
    expect(clusters.get('etcd.cluster/main')).toMatchObject({ state: 'present' });
    for (const name of rest) await leave1(name);
    expect([...(await observe()).members.keys()]).toEqual([`etcd.member/main.${stays}`]);
    expect(await leader()).toBe(stays);
    expect(etcdStatus(await lab.readFacts(), [stays ?? ''])[0]).toMatchObject({ quorum: 'held', voters: 1 });
  });

  test('nobody leaves while one that stays is not healthy; one that is dead itself may', async () => {
    lab = new LocalEtcd(3, 87);
    await bootstrap();
    lab.former.add('etcd-c');
    lab.stop('etcd-b');
    await expect(leave1('etcd-c')).rejects.toThrow(/etcd-c may not leave etcd main now/);
    expect((await observe()).members.size).toBe(3);
    lab.start('etcd-b');
    lab.stop('etcd-c');
    await leave1('etcd-c');
    expect((await observe()).members.size).toBe(2);
  });

  test('a removal that is killed again and again, each time further on, is finished by running it again', async () => {
    lab = new LocalEtcd(3, 88);
    await bootstrap();
    const going = (await leader()) ?? '';
    lab.former.add(going);
    for (let kill = 1, left = false; !left; kill += 3) {
      const clients = lab.clients();
      const { outputs } = (await observe()).members.get(`etcd.member/main.${going}`) as { outputs: { id: string } };
      let commands = 0;
      lab.before = () => {
        if (++commands >= kill) throw new Error('killed');
      };
      await types()
        .member.delete?.(outputs, ctx(`etcd.member/main.${going}`, clients))
        .catch(() => undefined);
      lab.before = () => {};
      left = !(await observe()).members.has(`etcd.member/main.${going}`);
    }
    expect((await observe()).members.size).toBe(2);
    expect(await leader()).not.toBe(going);
  });

  test('a member that was removed, and is designed again with its old volume, joins anew', async () => {
    lab = new LocalEtcd(3, 89);
    await bootstrap();
    lab.former.add('etcd-c');
    await leave1('etcd-c');
    lab.stop('etcd-c');
    expect((await observe()).members.size).toBe(2);
    lab.former.delete('etcd-c');
    expect((await observe()).members.has('etcd.member/main.etcd-c')).toBe(false);
    // Its machine, made anew, starts what lies on the volume.
    lab.start('etcd-c');
    await join1('etcd-c');
    await allVoters();
    expect(existsSync(join(lab.volume('etcd-c'), 'removed-member'))).toBe(true);
  });

  describe('a snapshot', () => {
    const etcdutl = `${etcdBinary}utl`;
    const put = (key: string, value: string): void => {
      const pki = join(lab.root, 'etcd-a/etc/slipway/pki');
      const tls = ['--cacert', `${pki}/etcd.ca.pem`, '--cert', `${pki}/etcd-server.pem`, '--key', `${pki}/etcd-server-key.pem`];
      const endpoint = ['--endpoints', `https://${lab.address('etcd-a')}:2379`];
      execFileSync(`${etcdBinary}ctl`, [...endpoint, ...tls, 'put', key], { input: value, stdio: ['pipe', 'ignore', 'inherit'] });
    };
    const onHost = (name: string): readonly string[] => readdirSync(join(lab.root, name, 'var/lib/slipway/snapshot'));

    test('of a follower is whole, stays on no disk, and brings everything back', async ({ signal }) => {
      lab = new LocalEtcd(3, 79);
      await bootstrap();
      for (let i = 0; i < 20; i++) put(`/registry/${i}`, 'x'.repeat(50_000));
      const leader = (await viewCluster({ clients: lab.clients(), cluster: 'main', signal })).views;
      const { head, bytes } = await takeSnapshot(lab.clients(), 'main', signal);
      expect(leader.get(head.member)?.status.leader).not.toBe(leader.get(head.member)?.status.header.member_id);
      expect(head).toMatchObject({ etcd: '3.6.16', keys: 20, revision: 21 });
      const file = join(lab.root, 'snapshot.db');
      writeFileSync(file, Buffer.concat(await Array.fromAsync(bytes)));
      expect(onHost(head.member)).toEqual([]);
      const status = execFileSync(etcdutl, ['snapshot', 'status', file, '-w', 'json']).toString();
      expect(JSON.parse(status)).toMatchObject({ hash: head.hash, revision: head.revision, totalKey: head.keys });
      // It checks the digest at the end, too.
      execFileSync(etcdutl, ['snapshot', 'restore', file, '--data-dir', join(lab.root, 'restored')], { stdio: 'ignore' });
    });

    test('that nobody reads to its end leaves nothing on the host, and the next clears up after one that was cut off', async ({
      signal,
    }) => {
      lab = new LocalEtcd(1, 80);
      await bootstrap();
      for (let i = 0; i < 10; i++) put(`/registry/${i}`, 'x'.repeat(100_000));
      const { close } = await takeSnapshot(lab.clients(), 'main', signal);
      close();
      expect(onHost('etcd-a')).toEqual([]);
      writeFileSync(join(lab.root, 'etcd-a/var/lib/slipway/snapshot/main.1.db.part'), 'half');
      const { bytes } = await takeSnapshot(lab.clients(), 'main', signal);
      await Array.fromAsync(bytes);
      expect(onHost('etcd-a')).toEqual([]);
      lab.stop('etcd-a');
      await expect(takeSnapshot(lab.clients(), 'main', signal)).rejects.toThrow('no healthy member answers');
    });
  });
});
