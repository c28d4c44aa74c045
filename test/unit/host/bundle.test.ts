import { describe, expect, test } from 'vitest';
import type { Bundle } from '../../../src/components/bundle.ts';
import { batched } from '../../../src/host/certificates.ts';
import { hostResources } from '../../../src/host/design.ts';
import type { Seen } from '../../../src/host/facts.ts';
import type { HostFacts, HostsClients } from '../../../src/host/host.ts';
import { diffBundle, heldPaths, hostBundle } from '../../../src/host/types/bundle.ts';
import { diffUnits } from '../../../src/host/types/units.ts';
import { keyedDigest, sha256 } from '../../../src/plan/canonical.ts';
import type { World } from '../../../src/plan/resource.ts';

const file = (digest: string, mode = '0644') => ({ mode, digest });
const props = {
  bundle: 'master',
  identity: { NODE_NAME: 'master-a' },
  files: { '/etc/api.conf': file('a'.repeat(64)), '/etc/plain.conf': file('b'.repeat(64)) },
  units: { 'kube-apiserver.service': 'c'.repeat(64), 'kubelet.service': 'd'.repeat(64) },
  assets: ['k/1/apiserver'],
};
const observed = {
  ...props,
  restarts: {
    '/etc/api.conf': ['kube-apiserver.service', 'kubelet.service'],
    '/etc/plain.conf': ['kubelet.service'],
    'kube-apiserver.service': ['kube-apiserver.service'],
    'kubelet.service': ['kubelet.service'],
  },
  serving: ['kube-apiserver.service'],
};

describe('a bundle differs', () => {
  test('in nothing when all is there', () => {
    expect(diffBundle(props, observed)).toEqual([]);
  });
  test('file by file, and only what a serving unit reads costs a restart', () => {
    const desired = {
      ...props,
      files: { '/etc/api.conf': file('e'.repeat(64)), '/etc/plain.conf': file('f'.repeat(64)), '/etc/new': file('0'.repeat(64)) },
    };
    expect(diffBundle(desired, observed)).toEqual([
      {
        path: 'files./etc/api.conf',
        before: 'aaaaaaaaaaaa',
        after: 'eeeeeeeeeeee',
        impact: 'restart',
        note: 'restarts kube-apiserver, kubelet',
      },
      { path: 'files./etc/plain.conf', before: 'bbbbbbbbbbbb', after: 'ffffffffffff', impact: 'none', note: 'restarts kubelet' },
      { path: 'files./etc/new', before: null, after: '000000000000', impact: 'none' },
    ]);
  });
  test('without impact while what serves does not run', () => {
    const stopped = { ...observed, restarts: {}, serving: [] };
    expect(diffBundle({ ...props, files: { ...props.files, '/etc/api.conf': file('e'.repeat(64)) } }, stopped)).toMatchObject([
      { path: 'files./etc/api.conf', impact: 'none' },
    ]);
  });
  test('as a whole at the cost of a drain where a turn was begun: its kubelet runs what the upgrade brings', () => {
    const desired = {
      ...props,
      files: { ...props.files, '/etc/new': file('0'.repeat(64)) },
      units: { ...props.units, 'kubelet.service': 'f'.repeat(64) },
    };
    const impacts = diffBundle(desired, { ...observed, turned: true }).map(({ path, impact }) => `${path}: ${impact}`);
    expect(impacts).toEqual(['files./etc/new: drain', 'units.kubelet.service: drain']);
  });
  test('in a mode, a missing asset, a disabled unit and a removed file', () => {
    const there = {
      ...observed,
      files: { ...props.files, '/etc/plain.conf': file('b'.repeat(64), '0666'), '/etc/old': file('9'.repeat(64)) },
      units: { ...props.units, 'kubelet.service': `${'d'.repeat(64)} disabled` },
      assets: [],
    };
    expect(diffBundle(props, there).map(({ path, before, after, impact }) => [path, before, after, impact])).toEqual([
      ['files./etc/plain.conf', 'mode 0666', 'mode 0644', 'none'],
      ['files./etc/old', '999999999999', null, 'none'],
      ['units.kubelet.service', 'dddddddddddd disabled', 'dddddddddddd', 'none'],
      ['assets.k/1/apiserver', null, 'present', 'none'],
    ]);
  });
  test('what is left to a later command names files, units and host.env to leave alone', () => {
    expect(heldPaths(['files./etc/a', 'units.a.service', 'identity.A', 'identity.B', 'assets.x'])).toEqual([
      '/etc/a',
      'a.service',
      '/etc/slipway/host.env',
    ]);
  });
});

describe('units differ', () => {
  const desired = { units: { 'a.service': { active: true, current: true } } };
  const unit = (over: object) => ({ units: { 'a.service': { active: true, current: true, serving: false, ...over } } });
  test('when they do not run, unless they wait for a condition that somebody else makes true', () => {
    expect(diffUnits(desired, unit({}))).toEqual([]);
    expect(diffUnits(desired, unit({ active: false }))).toMatchObject([{ path: 'units.a.service.active', impact: 'none' }]);
    expect(diffUnits(desired, unit({ active: false, waitsFor: '/marker' }))).toEqual([]);
  });
  test('when they run old content, at the cost of a restart where they serve', () => {
    expect(diffUnits(desired, unit({ current: false }))).toMatchObject([{ path: 'units.a.service.current', impact: 'none' }]);
    expect(diffUnits(desired, unit({ current: false, serving: true }))).toMatchObject([{ impact: 'restart' }]);
  });
});

test('hosts of one bundle share their files, units and assets', () => {
  const bundle: Bundle = {
    name: 'pool-workers',
    files: [
      { path: '/etc/a', mode: '0644', content: { text: 'a' } },
      { path: '/etc/ca', mode: '0644', content: { authorities: ['kubernetes'] } },
      { path: '/etc/key', mode: '0600', content: { secret: 'service-account' } },
    ],
    units: [],
    assets: [],
    certificates: [],
    probes: [],
  };
  const [a] = hostResources({ name: 'a' }, bundle, {}, ['local.machine/a']);
  const [b, units] = hostResources({ name: 'b' }, bundle, {}, ['local.machine/b']);
  expect(a.props.files).toBe(b.props.files);
  expect(a.props.files).toEqual({
    '/etc/a': { mode: '0644', digest: sha256('a') },
    '/etc/ca': { mode: '0644', pem: [{ ref: 'pki.authority/kubernetes', field: 'certificate' }] },
    '/etc/key': { mode: '0600', secret: 'service-account', digest: { ref: 'secret/service-account', field: 'digest' } },
  });
  expect(units.after).toEqual(['host.bundle/b']);
});

test('the keyed digest of a secret is not its digest, and differs from cluster to cluster', () => {
  const plain = sha256('material');
  expect(new Set([plain, keyedDigest('uid-1', plain), keyedDigest('uid-2', plain)]).size).toBe(3);
});

describe('a batch', () => {
  test('gathers the calls of a moment and gives each its own result', async () => {
    const sent: number[][] = [];
    const double = batched(async (items: readonly number[]) => {
      sent.push([...items]);
      return items.map((item) => item * 2);
    });
    expect(await Promise.all([double(1), double(2)])).toEqual([2, 4]);
    expect(await double(3)).toBe(6);
    expect(sent).toEqual([[1, 2], [3]]);
  });
  test('fails all of its calls with its own error', async () => {
    const broken = batched(async () => Promise.reject(new Error('cut')));
    await expect(Promise.all([broken(1), broken(2)])).rejects.toThrow('cut');
  });
});

describe('an API server whose configuration changes', () => {
  const apiserver = {
    enabled: true,
    stale: false,
    sha256: 'a'.repeat(64),
    asApplied: true,
    inputs: ['/etc/a'],
    serving: true,
    waitsFor: undefined,
  };
  const observedAs = async (active: string) => {
    const facts: HostFacts = {
      bootId: '',
      clockMs: 0,
      generation: 1,
      bundle: 'master',
      identity: {},
      files: new Map([['/etc/a', { sha256: 'b'.repeat(64), mode: '0644' }]]),
      units: new Map([['kube-apiserver.service', { ...apiserver, active }]]),
      assets: new Set(),
      certificates: new Map(),
      probes: new Map(),
    };
    const notHere = async (): Promise<never> => {
      throw new Error('nothing is asked');
    };
    const clients: HostsClients = {
      hosts: {
        access: () => ({ bastion: undefined, hosts: new Map(), api: undefined }),
        get: notHere,
        tunnel: () => {
          throw new Error('nothing is asked');
        },
        close: async () => {},
      },
      machines: new Map(),
      uid: 'u',
      generation: 1,
      records: { get: notHere, put: notHere },
      delivery: 'mounted',
      storedAssets: notHere,
      assetFile: (path) => path,
      now: () => 0,
    };
    const seen: ReadonlyMap<string, Seen> = new Map([['master-a', { state: 'present', facts, asked: { from: 0, to: 0 } }]]);
    const world: World<HostsClients> = {
      clients,
      signal: AbortSignal.timeout(1000),
      // The one query of this type is for the facts.
      read: async <T>() => seen as T,
    };
    const found = (await hostBundle.observe(world)).get('host.bundle/master-a');
    if (found?.state !== 'present') throw new Error('not seen');
    return found.props;
  };
  test.each([
    ['active', 'restart'],
    ['activating', 'none'],
    ['failed', 'none'],
  ])('is %s: the impact is %s', async (active, impact) => {
    const observed = await observedAs(active);
    const desired = { ...observed, files: { '/etc/a': file('c'.repeat(64)) } };
    expect(diffBundle(desired, observed)).toMatchObject([{ path: 'files./etc/a', impact }]);
  });
});
