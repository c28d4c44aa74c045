import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makePlan } from '../../../src/plan/make.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { type Address, type Layer, type Resource, ref } from '../../../src/plan/resource.ts';
import type { Event } from '../../../src/run/events.ts';
import { connectAll, observe } from '../../../src/run/observe.ts';
import { type RunResult, run } from '../../../src/run/runner.ts';
import { MemoryWorld, memoryLayers, worldDigest } from '../../support/memory.ts';

const noSecrets = { reveal: async () => new Uint8Array() };
/** A design over all layers with random edges to earlier resources. */
const types = ['secret', 'local.network', 'local.machine', 'host.bundle', 'pki.certificate', 'kube.node'] as const;
const designs = fc
  .array(
    fc.record({
      type: fc.integer({ min: 0, max: types.length - 1 }),
      refs: fc.array(fc.nat(), { maxLength: 3 }),
      after: fc.array(fc.nat(), { maxLength: 2 }),
    }),
    { minLength: 1, maxLength: 25 },
  )
  .map((rows) => {
    const resources: Resource[] = [];
    for (const [i, row] of rows.sort((a, b) => a.type - b.type).entries()) {
      const type = types[row.type] ?? 'secret';
      const earlier = (n: number): Address | undefined => resources[n % Math.max(1, i)]?.address;
      const refs = row.refs.flatMap((n) => earlier(n) ?? []);
      resources.push({
        address: `${type}/r${i}`,
        type,
        props: Object.fromEntries(refs.map((address, k) => [`on${k}`, ref(address, 'id')])),
        after: row.after.flatMap((n) => earlier(n) ?? []),
      });
    }
    return resources;
  });

async function converge(
  world: MemoryWorld,
  desired: readonly Resource[],
  stop?: (act: number) => boolean,
): Promise<{ result: RunResult; steps: number; events: Event[] }> {
  const layers = memoryLayers(world, desired);
  const seen = new ObservedMap();
  const killed = new AbortController();
  const connected = await connectAll(layers, seen, killed.signal);
  await observe(connected, seen, killed.signal, () => undefined);
  const plan = makePlan({
    tool: 't',
    cluster: 'c',
    specDigest: '',
    desired,
    observed: seen,
    types: new Map(layers.flatMap((l) => l.types.map((t) => [t.name, t]))),
    policy: { command: 'up', allowDataLoss: false },
  });
  let acts = 0;
  world.onAct = () => {
    acts++;
    if (stop?.(acts)) killed.abort(new Error('killed'));
    // What dies with the process never hears that the act succeeded.
    if (killed.signal.aborted) throw new Error('killed');
  };
  const events: Event[] = [];
  const result = await run({
    steps: plan.steps,
    desired,
    connected,
    seen,
    secrets: noSecrets,
    emit: (e) => events.push({ ...e, at: 0 } as Event),
    signal: killed.signal,
    beforeStep: async () => undefined,
    lanes: { hosts: 3 },
    runId: 'r',
    since: 0,
  });
  world.onAct = () => undefined;
  return { result, steps: plan.steps.length, events };
}

describe('run', () => {
  test('killed after each of its steps and started again, every design ends in the same world and nothing is made twice', async () => {
    await fc.assert(
      fc.asyncProperty(designs, async (desired) => {
        const whole = new MemoryWorld();
        const { steps } = await converge(whole, desired);
        for (let kill = 1; kill <= steps; kill++) {
          const world = new MemoryWorld();
          await converge(world, desired, (acts) => acts === kill);
          await converge(world, desired);
          expect(worldDigest(world)).toBe(worldDigest(whole));
          expect((await converge(world, desired)).steps).toBe(0);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('a failed step stops what stands on it and nothing else', async () => {
    const desired: Resource[] = [
      { address: 'local.network/a', type: 'local.network', props: {}, after: [] },
      { address: 'local.network/b', type: 'local.network', props: {}, after: [] },
      { address: 'host.bundle/a', type: 'host.bundle', props: {}, after: ['local.network/a'] },
      { address: 'host.bundle/b', type: 'host.bundle', props: {}, after: ['local.network/b'] },
    ];
    const world = new MemoryWorld();
    const layers = memoryLayers(world, desired);
    const seen = new ObservedMap();
    const connected = await connectAll(layers, seen, new AbortController().signal);
    world.onAct = (act) => {
      if (act === 'create local.network/a') throw new Error('no range left');
    };
    const steps = desired.map((r) => ({
      id: r.address,
      kind: 'apply' as const,
      params: { address: r.address, action: 'create' as const, hold: [] },
      after: [...r.after],
      timeoutMs: 1000,
    }));
    const result = await run({
      steps,
      desired,
      connected,
      seen,
      secrets: noSecrets,
      emit: () => undefined,
      signal: new AbortController().signal,
      beforeStep: async () => undefined,
      lanes: {},
      runId: 'r',
      since: 0,
    });
    expect(result.failed.map((f) => f.step.id)).toEqual(['local.network/a']);
    expect(result.done).toEqual(['local.network/b', 'host.bundle/b']);
    expect(result.notStarted).toEqual(['host.bundle/a']);
  });

  test('a lane never runs more steps at once than it may, and does run that many', async () => {
    const desired: Resource[] = Array.from({ length: 12 }, (_, i) => ({
      address: `host.bundle/${i}`,
      type: 'host.bundle',
      props: {},
      after: [],
    }));
    const world = new MemoryWorld();
    await converge(world, desired);
    expect(world.peak).toBe(3);
  });

  const slow = async (create: (_p: object, ctx: { signal: AbortSignal }) => Promise<object>) => {
    const world = new MemoryWorld();
    const desired: Resource[] = [{ address: 'local.network/slow', type: 'local.network', props: {}, after: [] }];
    const layers = memoryLayers(world, desired).map((layer) => ({
      ...layer,
      types: layer.types.map((type) => ({ ...type, create })),
    }));
    const seen = new ObservedMap();
    const connected = await connectAll(layers, seen, new AbortController().signal);
    return run({
      steps: [
        {
          id: 'create local.network/slow',
          kind: 'apply',
          params: { address: 'local.network/slow', action: 'create', hold: [] },
          after: [],
          timeoutMs: 30,
        },
      ],
      desired,
      connected,
      seen,
      secrets: noSecrets,
      emit: () => undefined,
      signal: new AbortController().signal,
      beforeStep: async () => undefined,
      lanes: {},
      runId: 'r',
      since: 0,
      stopWithinMs: 20,
    });
  };
  const said = { message: expect.stringContaining('within 0.03 s') };

  test('a step that outlives its time limit fails and says which and how long', async () => {
    const result = await slow(
      (_p, { signal }) => new Promise((_ok, no) => signal.addEventListener('abort', () => no(new Error('aborted')))),
    );
    expect(result.failed[0]?.error).toMatchObject(said);
  });

  test('a step that hears nothing is left where it is', async () => {
    const result = await slow(() => new Promise(() => undefined));
    expect(result.failed[0]?.error).toMatchObject(said);
  });

  test('what an update held back still differs for a later plan of the same run', async () => {
    const resource: Resource = { address: 'x/y', type: 'x', props: { a: 2, b: 2 }, after: [] };
    const seen = new ObservedMap();
    seen.set('x/y', { state: 'present', props: { a: 1, b: 1 }, outputs: {} });
    const layer: Layer = {
      name: 'l',
      types: [{ name: 'x', observe: async () => new Map(), diff: () => [], update: async () => ({ id: 'y' }) }],
      connect: async () => ({}),
    };
    const carryOut = (hold: string[]) =>
      run({
        steps: [{ id: 's', kind: 'apply', params: { address: 'x/y', action: 'update', hold }, after: [], timeoutMs: 1000 }],
        desired: [resource],
        connected: [{ layer, clients: {} }],
        seen,
        secrets: noSecrets,
        emit: () => undefined,
        signal: new AbortController().signal,
        beforeStep: async () => undefined,
        lanes: {},
        runId: 'r',
        since: 0,
      });
    expect((await carryOut(['b'])).failed).toEqual([]);
    expect(seen.get('x/y')).toMatchObject({ props: { a: 1, b: 1 }, outputs: { id: 'y' } });
    await carryOut([]);
    expect(seen.get('x/y')).toMatchObject({ props: { a: 2, b: 2 } });
  });
});
