import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { issueClient } from '../../../src/pki/admin.ts';
import { createAuthority } from '../../../src/pki/authorities.ts';
import { aCluster } from '../../support/builders.ts';
import { standingAs, type UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, after: 'machine' | 'wave') =>
  aCluster({
    etcd: { count: 1 },
    masters: { count: 2 },
    kubernetes: { version },
    upgrade: { gates: [{ name: 'smoke', after, command: ['smoke'] }] },
  });

/** `bad`: places whose gate fails. `asked`: in this order. Commands of gates get credentials, which need an authority. */
async function standing(after: 'machine' | 'wave') {
  const cluster = await standingAs(at('1.35.4', after), time)();
  const { certPem, keyPem } = await createAuthority({ name: 'demo', uid: '', lifetimeDays: 10, now: Date.now() });
  const address = 'pki.authority/kubernetes';
  const thing = cluster.world.things.get(address);
  if (!thing) throw new Error('no authority');
  cluster.world.things.set(address, { ...thing, outputs: { ...thing.outputs, certificate: certPem } });
  cluster.secret = Buffer.from(keyPem);
  // The first one takes real time, which virtual time does not wait for.
  await issueClient({ authority: { certPem, keyPem }, cn: 'warm', o: [], hours: 1, now: Date.now() });
  const bad = new Set<string>();
  const asked: string[] = [];
  cluster.runCommand = async ({ env }) => {
    const place = `${env.SLIPWAY_WAVE}/${env.SLIPWAY_MACHINE}`;
    asked.push(place);
    return { failure: bad.has(place) ? 'exit code 1' : undefined, lastLines: [] };
  };
  return { cluster, bad, asked, kubelets: () => JSON.stringify([...cluster.running('kubelet')]) };
}

describe('a gate of the user that fails', () => {
  test.each([
    { after: 'machine' as const, fails: 'masters/master-a', next: 'masters/master-b' },
    { after: 'wave' as const, fails: 'masters/', next: 'addons/' },
  ])(
    'after a $after is asked again by the next run, and nothing moves before it has succeeded',
    async ({ after, fails, next }) => {
      const { cluster, bad, asked, kubelets } = await standing(after);
      const file = at('1.36.3', after);
      bad.add(fails);
      const problem = { what: expect.stringContaining('gate smoke failed') };
      await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { why: problem.what } });
      const moved = kubelets();
      await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem });
      expect([asked, kubelets()]).toEqual([[fails, fails], moved]);
      bad.clear();
      expect((await cluster.upgrade(file)).outcome).toBe('done');
      expect(asked.slice(0, 4)).toEqual([fails, fails, fails, next]);
      expect((await cluster.record()).rollout).toBeUndefined();
    },
  );

  test('after the last machine of all is asked again, too', async () => {
    const { cluster, bad, asked } = await standing('machine');
    const file = at('1.36.3', 'machine');
    const last = [...cluster.running('kubelet').keys()].findLast((name) => name.startsWith('workers-'));
    bad.add(`pools/${last}`);
    await expect(cluster.upgrade(file)).rejects.toThrow();
    await expect(cluster.upgrade(file)).rejects.toThrow();
    bad.clear();
    await cluster.upgrade(file);
    expect(asked.filter((each) => each === `pools/${last}`)).toHaveLength(3);
    expect((await cluster.record()).rollout).toBeUndefined();
  });
});

test.each(['--pause-after masters', 'Ctrl-C'])(
  'gates that have succeeded before %s are not asked again by the next run',
  async (why) => {
    const { cluster, asked } = await standing('machine');
    const file = at('1.36.3', 'machine');
    const stop = new AbortController();
    cluster.onAct = (act) => {
      if (act === 'uncordon master-b') stop.abort();
    };
    const result = await cluster.upgrade(file, why === 'Ctrl-C' ? { stopping: stop.signal } : { pauseAfter: 'masters' });
    expect([result.outcome, asked]).toEqual([why === 'Ctrl-C' ? 'stopped' : 'paused', ['masters/master-a', 'masters/master-b']]);
    expect((await cluster.record()).rollout?.ungated).toBeUndefined();
    expect((await cluster.upgrade(file)).outcome).toBe('done');
    expect(asked.filter((place) => place.startsWith('masters/'))).toHaveLength(2);
  },
);

describe('a command of a gate', () => {
  test.each(['direct', 'bastion'] as const)(
    'has a kubeconfig that leads to the API (%s), in a directory of its own, for as long as it runs',
    async (via) => {
      const { cluster } = await standing('wave');
      const file = at('1.36.3', 'wave');
      const { provider } = cluster.opened(file);
      const lent: { path: string; text: string; mode: number }[] = [];
      cluster.runCommand = async ({ env }) => {
        const path = env.KUBECONFIG ?? '';
        lent.push({ path, text: readFileSync(path, 'utf8'), mode: statSync(dirname(path)).mode & 0o777 });
        return { failure: undefined, lastLines: [] };
      };
      await cluster.upgrade(
        file,
        {},
        {
          provider: {
            ...provider,
            access: (...seen) => {
              const access = provider.access(...seen);
              return { ...access, ...(access.api && { api: { ...access.api, via } }) };
            },
          },
        },
      );
      expect(lent.length).toBeGreaterThan(1);
      for (const { path, text, mode } of lent) {
        expect([mode, existsSync(dirname(path))]).toEqual([0o700, false]);
        expect(text).toContain('server: https://memory:6443');
        expect(/proxy-url: http:\/\/127\.0\.0\.1:\d+/.test(text)).toBe(via === 'bastion');
      }
    },
  );
});

describe("a gate of Slipway's own that fails", () => {
  const to = (more: NonNullable<Parameters<typeof aCluster>[0]>) =>
    aCluster({ etcd: { count: 1 }, masters: { count: 2 }, kubernetes: { version: '1.35.4' }, ...more });
  const standing = standingAs(to({}), time);
  const other = to({ kubernetes: { version: '1.36.3' } });

  test.each([
    { kind: 'a master', ails: 'master-a', file: other },
    { kind: 'a worker', ails: 'workers-a-1', file: other },
    { kind: 'a worker, where nothing but packages differs', ails: 'workers-a-1', file: to({ os: { packages: '1970-01-01' } }) },
  ])('after $kind is asked again by the next run, and nothing moves before it has succeeded', async ({ ails, file }) => {
    const cluster = await standing();
    cluster.ailing.set(ails, 'kube-proxy.service is not well');
    await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { where: ails } });
    expect((await cluster.record()).rollout?.ungated).toContainEqual({ wave: expect.any(String), machine: ails });
    const moved = cluster.digest();
    for (const _ of [1, 2]) await expect(cluster.upgrade(file)).rejects.toMatchObject({ problem: { where: ails } });
    expect(cluster.digest()).toBe(moved);
    cluster.ailing.clear();
    expect((await cluster.upgrade(file)).outcome).toBe('done');
    expect((await cluster.record()).rollout).toBeUndefined();
  });

  test('is not asked before a turn that its machine has anyway: that may be what mends it', async () => {
    const cluster = await standing();
    cluster.ailing.set('master-a', 'kube-scheduler.service is not well');
    await expect(cluster.upgrade(other)).rejects.toThrow();
    const mended = to({ kubernetes: { version: '1.36.3', extraArgs: { scheduler: { v: '3' } } } });
    cluster.onAct = (act) => {
      if (act.startsWith('update host.bundle/master-a')) cluster.ailing.clear();
    };
    expect((await cluster.upgrade(mended)).outcome).toBe('done');
  });

  test('after a worker is the API that answers slowly, too', async () => {
    const cluster = await standing();
    cluster.onAct = (act) => {
      if (act.startsWith('update host.bundle/workers-')) cluster.api.answersInMs = 2000;
    };
    const why = expect.stringContaining('the API answers slowly: 1 of 100 requests took 2000 ms');
    await expect(cluster.upgrade(other)).rejects.toMatchObject({ problem: { where: expect.stringMatching(/^workers-/), why } });
  });

  describe('after a machine are its DaemonSets', () => {
    const unready = (cluster: UpgradableCluster, name: string, namespace: string, ready: boolean): void => {
      const pod = cluster.api.pods.get(name);
      if (!pod) throw new Error(`no pod ${name}`);
      // Only just: what has not been ready for long is in the way before anything starts.
      const lastTransitionTime = new Date().toISOString();
      const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime }];
      cluster.api.change({ ...pod, metadata: { ...pod.metadata, namespace }, status: { conditions } });
    };
    test.each([
      { whose: 'the system', namespace: 'kube-system', before: false, ends: 'stops' },
      { whose: 'a user, ready before', namespace: 'default', before: true, ends: 'stops' },
      { whose: 'a user, not ready before either', namespace: 'default', before: false, ends: 'done' },
    ])('of $whose: $ends', async ({ namespace, before, ends }) => {
      const cluster = await standing();
      cluster.api.addPod('agent', 'workers-a-1', 'DaemonSet');
      unready(cluster, 'agent', namespace, before);
      // It is found so when its node comes back.
      cluster.onAct = (act) => {
        if (before && act === 'uncordon workers-a-1') unready(cluster, 'agent', namespace, false);
      };
      const ended = cluster.upgrade(other);
      if (ends === 'done') expect((await ended).outcome).toBe('done');
      else {
        const why = expect.stringContaining(`${namespace}/agent`);
        await expect(ended).rejects.toMatchObject({ problem: { where: 'workers-a-1', why } });
      }
    });
  });
});
