import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { drain } from '../../../src/agent/drain.ts';
import { tendMachines } from '../../../src/agent/hooks.ts';
import { decideRequests } from '../../../src/agent/join.ts';
import { whileLeading } from '../../../src/agent/leader.ts';
import { refreshToken } from '../../../src/agent/tokens.ts';
import { tokenIds, tokenSecret } from '../../../src/components/joining.ts';
import { MemoryCloud, MemoryKube } from './memory.ts';
import { aDocument, anInstance, aRequest, config, id, now } from './requests.ts';

let kube: MemoryKube;
let cloud: MemoryCloud;
let log: string[];
const { signal } = new AbortController();
const ports = (over: { now?: number } = {}) => ({
  config,
  kube,
  cloud,
  log: (line: string) => void log.push(line),
  now: () => over.now ?? now,
  signal,
});
beforeEach(() => {
  kube = new MemoryKube();
  cloud = new MemoryCloud();
  log = [];
});

describe('requests', () => {
  test('of a machine with its proof are approved, all of them, with one question to EC2', async () => {
    const asked = await Promise.all(
      ['kubelet-client', 'kubelet-server', 'kube-proxy', 'flanneld'].map((certificate) => aRequest({ certificate })),
    );
    kube.objects.push(...asked.map(({ object }) => object));
    cloud.machines.set(id, anInstance());
    const keys = Object.fromEntries(
      asked.map(({ object, key }) => [object.metadata.name.split('-').slice(3, -1).join('-'), key]),
    );
    const document = Buffer.from(JSON.stringify(aDocument())).toString('base64');
    cloud.proofs.set(id, JSON.stringify({ document, signature: 'x', keys }));
    expect(await decideRequests(ports())).toBe(0);
    expect([...kube.decided.values()]).toEqual(Array.from({ length: 4 }, () => `Approved: instance ${id} has proved who it is`));
    expect(cloud.described).toBe(1);
  });
  test('that cannot be read, or are somebody else’s, stop nobody', async () => {
    const { object, key } = await aRequest();
    kube.objects.push(
      {
        metadata: { name: 'slipway-i-0123456789abcdef0-x-0123456789', creationTimestamp: '' },
        spec: { request: 'AAAA', signerName: '', username: 'system:bootstrap:x' },
      },
      { metadata: { name: 'csr-1', creationTimestamp: '' }, spec: { request: '', signerName: 'x' } },
      object,
    );
    cloud.machines.set(id, anInstance());
    const document = Buffer.from(JSON.stringify(aDocument())).toString('base64');
    cloud.proofs.set(id, JSON.stringify({ document, signature: 'x', keys: { 'kubelet-client': key } }));
    await decideRequests(ports());
    expect([...kube.decided.keys()]).toEqual([object.metadata.name]);
    expect(log.some((line) => line.includes('cannot be read'))).toBe(true);
  });
  test('of an instance that is not of this cluster cost no look at its proof', async () => {
    kube.objects.push((await aRequest()).object);
    cloud.machines.set(id, anInstance({ cluster: 'other' }));
    cloud.proof = () => Promise.reject(new Error('it was looked at'));
    await decideRequests(ports());
    expect([...kube.decided.values()]).toEqual([expect.stringMatching(/^Denied: instance .* is not of this cluster/)]);
  });
});

describe('the token of a pool', () => {
  const refresh = (at: number) => refreshToken('workers', { kube, cloud, now: at, random: (n) => randomBytes(n), signal });
  test('is made once, as Kubernetes wants it, and is good an hour', async () => {
    expect(await refresh(now)).toBe(true);
    const [tokenId = '', secret = ''] = cloud.tokens.get('workers')?.split('.') ?? [];
    expect(`${tokenId}.${secret}`).toMatch(/^[a-z0-9]{6}\.[a-z0-9]{16}$/);
    expect(kube.secrets.get(tokenSecret(tokenId))).toEqual({
      type: 'bootstrap.kubernetes.io/token',
      description: 'machines of pool workers that join',
      'token-id': tokenId,
      'token-secret': secret,
      expiration: '2026-11-21T08:00:00Z',
      'usage-bootstrap-authentication': 'true',
      'auth-extra-groups': 'system:bootstrappers:slipway:workers',
    });
    expect(await refresh(now + 20 * 60_000)).toBe(false);
  });
  test('is followed by another half an hour before its end, and stays good until then', async () => {
    await refresh(now);
    const first = cloud.tokens.get('workers') ?? '';
    expect(await refresh(now + 26 * 60_000)).toBe(true);
    const second = cloud.tokens.get('workers') ?? '';
    expect(second.split('.')[0]).not.toBe(first.split('.')[0]);
    expect(kube.secrets.get(tokenSecret(first.split('.')[0] ?? ''))?.['token-secret']).toBe(first.split('.')[1]);
    expect(new Set([first, second].map((token) => token.split('.')[0]))).toEqual(new Set(tokenIds('workers')));
  });
  test('is made anew where store and cluster do not agree', async () => {
    await refresh(now);
    kube.secrets.clear();
    expect(await refresh(now)).toBe(true);
    cloud.tokens.set('workers', 'rubbish');
    expect(await refresh(now)).toBe(true);
  });
});

describe('machines that come and go', () => {
  const launch = { instance: id, group: 'demo-workers', why: 'launch' } as const;
  const terminate = { instance: id, group: 'demo-workers', why: 'terminate' } as const;
  const tend = async (over: { now?: number } = {}) => {
    const running = new Map<string, Promise<void>>();
    await tendMachines(ports(over), running);
    await Promise.all(running.values());
  };
  beforeEach(() => cloud.machines.set(id, anInstance()));

  test('a new one goes into service when it is Ready, and not before', async () => {
    cloud.holding.push(launch);
    await tend();
    expect(cloud.released).toEqual([]);
    kube.node(id, { ready: false });
    await tend();
    expect(cloud.released).toEqual([]);
    kube.node(id);
    await tend();
    expect(cloud.released).toEqual([`${id} launch continue`]);
  });
  test('one that does not join in a quarter of an hour is ended', async () => {
    cloud.holding.push(launch);
    await tend({ now: now + 20 * 60_000 });
    expect(cloud.released).toEqual([`${id} launch abandon`]);
  });
  test('one that is to be terminated is drained first; what its daemons run stays', async () => {
    cloud.holding.push(terminate);
    kube.node(id);
    kube.podsByNode.set(id, [
      { namespace: 'default', name: 'web', uid: '1', stays: false },
      { namespace: 'kube-system', name: 'daemon', uid: '2', stays: true },
    ]);
    await tend();
    expect(kube.nodesByName.get(id)?.cordoned).toBe(true);
    expect(kube.podsByNode.get(id)?.map(({ name }) => name)).toEqual(['daemon']);
    expect(cloud.released).toEqual([`${id} terminate continue`]);
  });
  test('one that never became a node goes at once', async () => {
    cloud.holding.push(terminate);
    await tend();
    expect(cloud.released).toEqual([`${id} terminate continue`]);
  });
  test('one whose own notice says that it goes is drained, once', async () => {
    kube.node(id, { notice: 'spot machine, taken away at 07:02' });
    kube.podsByNode.set(id, [{ namespace: 'default', name: 'web', uid: '1', stays: false }]);
    await tend();
    expect(kube.nodesByName.get(id)?.cordoned).toBe(true);
    expect(kube.podsByNode.get(id)).toEqual([]);
    expect(cloud.released).toEqual([]);
  });
  test('a drain respects disruption budgets, and ends when its time is up', async () => {
    kube.node(id);
    kube.protectedPods.add('web');
    kube.podsByNode.set(id, [{ namespace: 'default', name: 'web', uid: '1', stays: false }]);
    const said: string[] = [];
    const log = (line: string) => void said.push(line);
    expect(await drain({ kube, node: id, because: 'test', withinMs: 60, signal, log, pollMs: 10 })).toBe(1);
    expect(said).toEqual([`${id}: default/web stays for now, as its disruption budget asks`]);
  });
});

describe('of several agents', () => {
  const candidate = (holder: string, end: AbortSignal, led: string[]) =>
    whileLeading(
      { kube, holder, log: () => {}, signal: end, now: Date.now, monotonic: () => performance.now() },
      async (leading) => {
        led.push(`${holder} begins`);
        await new Promise<void>((resolve) => leading.addEventListener('abort', () => resolve(), { once: true }));
        led.push(`${holder} ends`);
      },
    );
  test('one leads; when it stops, another does, and never two', async () => {
    const led: string[] = [];
    const [first, second] = [new AbortController(), new AbortController()];
    const a = candidate('a', first.signal, led);
    await sleep(50);
    const b = candidate('b', second.signal, led);
    await sleep(100);
    expect(led).toEqual(['a begins']);
    first.abort();
    await a;
    await sleep(2_300);
    expect(led).toEqual(['a begins', 'a ends', 'b begins']);
    second.abort();
    await b;
    expect(kube.current?.holder).toBe('');
  });
  test('one that cannot renew stops before its lease is stale', async () => {
    const led: string[] = [];
    const end = new AbortController();
    const a = candidate('a', end.signal, led);
    await sleep(50);
    kube.down = true;
    const began = performance.now();
    while (led.length < 2 && performance.now() - began < 15_000) await sleep(50);
    expect(led).toEqual(['a begins', 'a ends']);
    expect(performance.now() - began).toBeLessThan(14_000);
    end.abort();
    await a;
  });
});
