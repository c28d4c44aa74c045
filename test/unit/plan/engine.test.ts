import { describe, expect, test } from 'vitest';
import { diff } from '../../../src/plan/diff.ts';
import { chosenOf, isRemainder, leftOf, makePlan, samePlan, unseenOf } from '../../../src/plan/make.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { type FieldChange, type Impact, type Resource, type ResourceType, ref } from '../../../src/plan/resource.ts';

const impactOf: Readonly<Record<string, Impact>> = { size: 'replace', tags: 'none', flags: 'restart' };
const type = (
  name: string,
  over: Partial<ResourceType<object, object, unknown>> = {},
): ResourceType<object, object, unknown> => ({
  name,
  observe: async () => new Map(),
  diff: (desired, observed): readonly FieldChange[] => {
    const before = new Map<string, unknown>(Object.entries(observed));
    return Object.entries(desired).flatMap(([path, value]) =>
      before.get(path) === value
        ? []
        : [{ path, before: String(before.get(path)), after: String(value), impact: impactOf[path] ?? 'none' }],
    );
  },
  create: async () => ({}),
  update: async (_p, outputs) => outputs,
  delete: async () => undefined,
  ...over,
});
const types = new Map(
  [type('net'), type('machine', { dependsOn: ['net'] }), type('host'), type('volume', { shrink: 'data-loss' })].map((t) => [
    t.name,
    t,
  ]),
);
const resource = (address: `${string}/${string}`, props: object = {}, after: Resource['after'] = []): Resource => ({
  address,
  type: address.split('/')[0] ?? '',
  props,
  after,
});
const seen = (...present: [`${string}/${string}`, object, object?][]): ObservedMap => {
  const map = new ObservedMap();
  for (const [address, props, outputs] of present) map.set(address, { state: 'present', props, outputs: outputs ?? {} });
  return map;
};
const plan = (
  desired: readonly Resource[],
  observed: ObservedMap,
  command: 'up' | 'upgrade' | 'down' = 'up',
  allowDataLoss = false,
) => makePlan({ tool: 't', cluster: 'c', specDigest: 's', desired, observed, types, policy: { command, allowDataLoss } });

const design = [
  resource('net/n', { cidr: '10.0.0.0/8' }),
  resource('machine/m', { net: ref('net/n', 'id'), size: 's' }),
  resource('host/m', {}, ['machine/m']),
];

describe('plan', () => {
  test('from nothing everything is created, in the order of references', () => {
    const made = plan(design, seen());
    expect(made.changes.map((c) => `${c.action} ${c.address}`)).toEqual(['create net/n', 'create machine/m', 'create host/m']);
    expect(made.steps.map((s) => s.after)).toEqual([[], ['create net/n'], ['create machine/m']]);
    expect(made.changes[1]?.fields.find((f) => f.path === 'net')?.after).toEqual({ pending: 'net/n' });
  });

  test('what is as designed gives an empty plan', () => {
    const made = plan(
      design,
      seen(['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }], ['machine/m', { net: 'n-1', size: 's' }], ['host/m', {}]),
    );
    expect(made.changes).toEqual([]);
  });

  test('a thing that could not be seen is neither created nor a ground for what stands on it', () => {
    const observed = seen(['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }]);
    observed.set('machine/m', { state: 'unknown', why: 'docker is stopped' });
    const made = plan(design, observed);
    expect(chosenOf(made)).toEqual([]);
    expect(unseenOf(made).map((c) => c.address)).toEqual(['machine/m', 'host/m']);
    expect(unseenOf(made)[1]?.when).toMatchObject({ because: expect.stringContaining('machine/m') });
  });

  test('a blind prefix makes everything below it unknown', () => {
    const observed = seen(['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }], ['machine/m', { net: 'n-1', size: 's' }]);
    observed.set('host/*', { state: 'unknown', why: 'no route' });
    expect(unseenOf(plan(design, observed)).map((c) => c.address)).toEqual(['host/m']);
  });

  test('`up` carries out what interrupts nobody and holds the rest of the same update for `upgrade`', () => {
    const desired = [resource('machine/m', { size: 's', tags: 'new', flags: 'new' })];
    const made = plan(desired, seen(['machine/m', { size: 's', tags: 'old', flags: 'old' }]));
    expect(chosenOf(made)).toMatchObject([{ action: 'update', fields: [{ path: 'tags' }] }]);
    expect(leftOf(made)).toMatchObject([{ when: { left: 'upgrade' }, fields: [{ path: 'flags' }] }]);
    expect(made.steps[0]?.params.hold).toEqual(['flags']);
  });

  test('`up` shrinks nothing, and nobody deletes data without the flag', () => {
    const observed = seen(['machine/old', {}], ['volume/v', {}]);
    expect(leftOf(plan([], observed)).map((c) => c.when)).toMatchObject([{ left: 'upgrade' }, { left: 'allow-data-loss' }]);
    expect(leftOf(plan([], observed, 'down')).map((c) => c.address)).toEqual(['volume/v']);
    expect(leftOf(plan([], observed, 'down', true))).toEqual([]);
  });

  test('data goes only after what uses it, whatever is allowed', () => {
    const withDisk = new Map([...types, ['machine', type('machine', { dependsOn: ['net', 'volume'] })]]);
    const world = seen(['machine/m', { size: 's' }], ['volume/v', {}]);
    const left = (observed: ObservedMap, command: 'up' | 'upgrade') =>
      makePlan({
        tool: 't',
        cluster: 'c',
        specDigest: 's',
        desired: [],
        observed,
        types: withDisk,
        policy: { command, allowDataLoss: true },
      }).changes.map(({ address, when }) => [address, 'left' in when ? when.left : 'now']);
    expect(left(world, 'up')).toEqual([
      ['machine/m', 'upgrade'],
      ['volume/v', 'upgrade'],
    ]);
    expect(left(seen(['volume/v', {}]), 'up')).toEqual([['volume/v', 'now']]);
    expect(left(world, 'upgrade')).toEqual([
      ['machine/m', 'now'],
      ['volume/v', 'now'],
    ]);
  });
  test('deletion goes the other way: what stands on a thing goes first', () => {
    const steps = plan([], seen(['net/n', {}], ['machine/m', {}]), 'down').steps;
    expect(steps.find((s) => s.id === 'delete net/n')?.after).toEqual(['delete machine/m']);
  });

  test('a step waits for the step below a thing that needs none', () => {
    const made = plan(
      [...design, resource('host/x', {}, ['host/m'])],
      seen(['machine/m', { net: 'gone', size: 's' }], ['host/m', {}]),
    );
    expect(made.steps.find((s) => s.id === 'create host/x')?.after).toEqual(['update machine/m']);
  });

  test('what is only behind another waits for its step, and for nothing else of it', () => {
    const behind = (observed: ObservedMap) =>
      plan([resource('net/n'), { ...resource('host/m'), behind: ['net/n'] }], observed).steps.map(({ id, after }) => [id, after]);
    expect(behind(seen())).toEqual([
      ['create net/n', []],
      ['create host/m', ['create net/n']],
    ]);
    expect(behind(seen(['net/n', {}]))).toEqual([['create host/m', []]]);
    const blind = seen();
    blind.set('net/n', { state: 'unknown', why: 'no answer' });
    expect(behind(blind)).toEqual([['create host/m', []]]);
  });

  test('what stands on a changed thing is verified after it, and what stands on the verified thing after that', () => {
    const verifying = new Map(types).set('host', type('host', { verify: async () => undefined }));
    const desired = [...design, resource('net/far', {}, ['host/m']), resource('host/top', {}, ['net/far'])];
    const observed = seen(
      ['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }],
      ['machine/m', { net: 'n-1', size: 's' }],
      ['host/m', {}],
      ['net/far', {}],
      ['host/top', {}],
    );
    const make = (want: readonly Resource[]) =>
      makePlan({
        tool: 't',
        cluster: 'c',
        specDigest: 's',
        desired: want,
        observed,
        types: verifying,
        policy: { command: 'up', allowDataLoss: false },
      });
    expect(make(desired).steps).toEqual([]);
    const changed = desired.map((r) => (r.address === 'machine/m' ? { ...r, props: { ...r.props, tags: 'new' } } : r));
    const made = make(changed);
    expect(made.changes.map((c) => c.address)).toEqual(['machine/m']);
    expect(made.steps.map((s) => [s.id, s.after])).toEqual([
      ['update machine/m', []],
      ['verify host/m', ['update machine/m']],
      ['verify host/top', ['verify host/m']],
    ]);
  });

  test('a cycle in a design is a bug that says where', () => {
    expect(() => plan([resource('host/a', {}, ['host/b']), resource('host/b', {}, ['host/a'])], seen())).toThrow(
      'host/a → host/b → host/a',
    );
  });

  test('the remainder of a crashed plan is accepted, another change is not', () => {
    const saved = plan(design, seen());
    const rest = plan(design, seen(['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }]));
    expect(samePlan(saved, rest)).toBe(false);
    expect(isRemainder(rest, saved)).toBe(true);
    expect(isRemainder(plan([...design, resource('host/new')], seen()), saved)).toBe(false);
  });

  test('what a crash left half made is a remainder of its creation', () => {
    const saved = plan(design, seen());
    const half = plan(
      design,
      seen(['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }], ['machine/m', { net: 'n-1', size: 's', tags: 'half' }]),
    );
    expect(isRemainder(half, saved)).toBe(true);
    const lost = plan(design, seen(['net/n', { cidr: '192.168.0.0/16' }, { id: 'n-1' }]));
    expect(isRemainder(lost, plan(design, seen(['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }])))).toBe(false);
  });

  test('what is only waited for is left while what it stands on cannot be seen; other updates go on', () => {
    const waiting = new Map(types).set('host', type('host', { waits: true }));
    const observed = seen(
      ['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }],
      ['host/m', { ready: false }],
      ['volume/v', { tags: 'a' }],
    );
    observed.set('machine/m', { state: 'unknown', why: 'no answer' });
    const desired = [
      ...design.slice(0, 2),
      resource('host/m', { ready: true }, ['machine/m']),
      resource('volume/v', { tags: 'b' }, ['machine/m']),
    ];
    const make = (of: typeof types) =>
      makePlan({
        tool: 't',
        cluster: 'c',
        specDigest: 's',
        desired,
        observed,
        types: of,
        policy: { command: 'up', allowDataLoss: false },
      });
    expect(chosenOf(make(waiting)).map((c) => c.address)).toEqual(['volume/v']);
    expect(chosenOf(make(types)).map((c) => c.address)).toEqual(['host/m', 'volume/v']);
  });

  test('what was deleted by hand is a creation, and only that', () => {
    const differences = diff(design, seen(['net/n', { cidr: '10.0.0.0/8' }, { id: 'n-1' }], ['host/m', {}]), types);
    expect(differences.map((d) => `${d.action} ${d.address}`)).toEqual(['create machine/m']);
  });
});
