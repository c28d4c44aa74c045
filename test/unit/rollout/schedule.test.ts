import { describe, expect, test } from 'vitest';
import { aLane, aTurn, aWave, machines, Rehearsal, surge, workers } from '../../support/rehearsal.ts';

describe('waves and lanes', () => {
  test('waves go one after the other, lanes of a wave side by side', async () => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run([
      aWave('masters', [aLane('masters', [aTurn('m-1', { role: 'master' }), aTurn('m-2', { role: 'master' })])]),
      aWave('pools', [aLane('pool x', workers('x', 2)), aLane('pool y', workers('y', 1))]),
    ]);
    expect(rehearsal.log).toEqual([
      '0 begin masters 1.36.3',
      '0 begin m-1',
      '10 end m-1',
      '10 begin m-2',
      '20 end m-2',
      '20 end masters 1.36.3',
      '20 begin pools 1.36.3',
      '20 begin x-1',
      '20 begin y-1',
      '30 end x-1',
      '30 end y-1',
      '30 begin x-2',
      '40 end x-2',
      '40 end pools 1.36.3',
    ]);
    expect(outcome).toMatchObject({ end: 'done', failures: [], cut: [], notBegun: [] });
    expect(machines(outcome.done)).toEqual(['m-1', 'm-2', 'x-1', 'y-1', 'x-2']);
  });

  test('a wave without machines has its beginning and its end', async () => {
    const rehearsal = new Rehearsal();
    expect(await rehearsal.run([aWave('addons', [], { changes: ['kube.addon/coredns'] })])).toMatchObject({ end: 'done' });
    expect(rehearsal.log).toEqual(['0 begin addons 1.36.3', '0 end addons 1.36.3']);
  });

  test('surge machines are made first and go last; while they stand, as many more may be away', async () => {
    const rehearsal = new Rehearsal();
    const lane = aLane('pool x', workers('x', 6), {
      strategy: 'replace',
      maxUnavailable: 1,
      maxSurge: 2,
      first: surge('x', 2, 'add'),
      last: surge('x', 2, 'remove'),
    });
    await rehearsal.run([aWave('pools', [lane])]);
    expect(rehearsal.log.filter((line) => line.includes(' begin x'))).toEqual([
      ...['0 begin x-surge-1', '0 begin x-surge-2'],
      ...['10 begin x-1', '10 begin x-2', '10 begin x-3', '20 begin x-4', '20 begin x-5', '20 begin x-6'],
      ...['30 begin x-surge-2', '30 begin x-surge-1'],
    ]);
  });

  test('a machine that a killed run has taken away counts from the beginning, and comes back before another one goes', async () => {
    const lanes = () => [
      aLane('pool x', workers('x', 3, ['a', 'b']), { maxUnavailable: 2 }),
      aLane('pool y', workers('y', 3, ['a', 'b'])),
    ];
    const one = new Rehearsal();
    await one.run([aWave('pools', lanes())], { maxDrains: 1, canary: true, away: new Set(['y-2']) });
    expect(one.order.slice(0, 2)).toEqual(['y-2', 'x-1']);
    const two = new Rehearsal();
    expect(await two.run([aWave('pools', lanes())], { maxDrains: 2, away: new Set(['y-3', 'x-3']) })).toMatchObject({
      end: 'done',
    });
    expect(two.order.slice(0, 2).toSorted()).toEqual(['x-3', 'y-3']);
    expect(two.peak).toBe(2);
  });

  test('a spare that was on its way out waits for its turn, and nobody for it', async () => {
    const rehearsal = new Rehearsal();
    const spare = { maxUnavailable: 0, maxSurge: 1, first: surge('x', 1, 'add'), last: surge('x', 1, 'remove') };
    const lane = aLane('pool x', workers('x', 2), { strategy: 'replace', ...spare });
    const outcome = await rehearsal.run([aWave('pools', [lane])], { maxDrains: 1, away: new Set(['x-surge-1']) });
    expect(outcome).toMatchObject({ end: 'done', notBegun: [] });
    expect(rehearsal.order).toEqual(['x-surge-1', 'x-1', 'x-2', 'x-surge-1']);
  });

  test('etcd members and masters keep the order of the plan: the leader is last', async () => {
    const rehearsal = new Rehearsal();
    const members = ['a', 'a', 'b', 'b', 'c', 'a'].map((zone, i) => aTurn(`etcd-${i + 1}`, { role: 'etcd', zone }));
    await rehearsal.run([aWave('etcd', [aLane('etcd', members)])]);
    expect(rehearsal.order).toEqual(members.map(({ machine }) => machine));
  });

  test('machines of a pool alternate between the zones', async () => {
    const rehearsal = new Rehearsal();
    await rehearsal.run([aWave('pools', [aLane('pool x', workers('x', 9, ['a', 'b', 'c'], true))])]);
    expect(rehearsal.order).toEqual(['x-1', 'x-4', 'x-7', 'x-2', 'x-5', 'x-8', 'x-3', 'x-6', 'x-9']);
  });

  test('the next machine is of the zone with fewest away, also when one of another zone takes long', async () => {
    const rehearsal = new Rehearsal();
    const lane = aLane('pool x', workers('x', 8, ['a', 'b'], true), { maxUnavailable: 2 });
    await rehearsal.run([aWave('pools', [lane])], { turn: ({ machine }) => rehearsal.time.sleep(machine === 'x-1' ? 35 : 10) });
    expect(rehearsal.order).toEqual(['x-1', 'x-5', 'x-6', 'x-7', 'x-8', 'x-2', 'x-3', 'x-4']);
  });

  test('pools that go side by side begin in different zones, and stay spread', async () => {
    const rehearsal = new Rehearsal();
    const lanes = ['x', 'y', 'z'].map((pool) => aLane(`pool ${pool}`, workers(pool, 3, ['a', 'b', 'c'])));
    const inZones = () => {
      const zones = [...rehearsal.away].map(({ zone }) => zone);
      return Math.max(...zones.map((zone) => zones.filter((other) => other === zone).length));
    };
    const most: number[] = [];
    await rehearsal.run([aWave('pools', lanes)], { moment: () => void most.push(inZones()) });
    expect(most[0]).toBe(1);
    expect(Math.max(...most)).toBeLessThan(3);
  });

  test('the canary of each lane goes alone, until its gate has passed', async () => {
    const rehearsal = new Rehearsal();
    const lanes = [aLane('pool x', workers('x', 5), { maxUnavailable: 4 }), aLane('pool y', workers('y', 1))];
    await rehearsal.run([aWave('pools', lanes)], { canary: true, gate: () => rehearsal.time.sleep(5) });
    expect(rehearsal.log.filter((line) => line.includes(' begin '))).toEqual([
      '0 begin pools 1.36.3',
      '0 begin x-1',
      '0 begin y-1',
      ...['x-2', 'x-3', 'x-4', 'x-5'].map((machine) => `15 begin ${machine}`),
    ]);
  });

  test('under the overall cap the pool with most rounds to go is first, and all end together', async () => {
    const rehearsal = new Rehearsal();
    const lanes = [
      aLane('pool x', workers('x', 2), { maxUnavailable: 2 }),
      aLane('pool y', workers('y', 6), { maxUnavailable: 2 }),
    ];
    await rehearsal.run([aWave('pools', lanes)], { maxDrains: 2 });
    expect(rehearsal.time.now).toBe(40);
    expect(rehearsal.peak).toBe(2);
  });

  test('what is planned against itself is a bug, and nothing begins', async () => {
    const rehearsal = new Rehearsal();
    const never = aLane('pool x', workers('x', 2), { maxUnavailable: 0, maxSurge: 1 });
    await expect(rehearsal.run([aWave('pools', [never])])).rejects.toThrow('no machine may be away');
    const tooMany = aLane('pool x', workers('x', 2), { maxSurge: 1, first: surge('x', 2, 'add') });
    await expect(rehearsal.run([aWave('pools', [tooMany])])).rejects.toThrow('2 surge machines, and at most 1');
    expect(rehearsal.log).toEqual([]);
  });
});

describe('a worker that is lost', () => {
  const two = () => [
    aWave('pools', [
      aLane('pool x', workers('x', 5), { maxUnavailable: 2 }),
      aLane('pool y', workers('y', 4), { maxUnavailable: 2 }),
    ]),
  ];
  const begun = ({ log }: Rehearsal) => log.filter((line) => / begin [xy]/.test(line));
  /** These are not Ready, as long as it is so. */
  const lostWhile = (is: () => boolean, ...names: readonly string[]) => ({
    lost: async () => new Map(names.filter(is).map((name) => [name, name.slice(0, 1)])),
  });

  test('counts against the cap of its pool, and no other', async () => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run(
      two(),
      lostWhile(() => rehearsal.time.now >= 10, 'x-1'),
    );
    expect(outcome.end).toBe('done');
    expect(begun(rehearsal)).toEqual([
      ...['0 begin x-1', '0 begin y-1', '0 begin x-2', '0 begin y-2'],
      ...['10 begin y-3', '10 begin x-3', '10 begin y-4', '20 begin x-4', '30 begin x-5'],
    ]);
  });

  test('counts against the cap of all, also where its pool has no turns', async () => {
    const rehearsal = new Rehearsal();
    const lost = async () => new Map([['z-1', 'z']]);
    expect(await rehearsal.run(two(), { lost, maxDrains: 3 })).toMatchObject({ end: 'done' });
    expect(rehearsal.peak).toBe(2);
  });

  test('has its own turn when no other may begin: that takes nothing more away', async () => {
    const rehearsal = new Rehearsal();
    let mended = false;
    const outcome = await rehearsal.run([aWave('pools', [aLane('pool x', workers('x', 4))])], {
      canary: true,
      ...lostWhile(() => !mended, 'x-3'),
      gate: async ({ machine }) => {
        mended ||= machine === 'x-3';
      },
    });
    expect([outcome.end, rehearsal.time.now]).toEqual(['done', 40]);
    expect(rehearsal.order).toEqual(['x-3', 'x-1', 'x-2', 'x-4']);
  });

  test('is not one in its turn, one that is still to be made, or one that has gone in its turn: nothing waits', async () => {
    const lane = () =>
      aLane('pool x', workers('x', 6), {
        strategy: 'replace',
        maxSurge: 2,
        first: surge('x', 2, 'add'),
        last: surge('x', 2, 'remove'),
      });
    const [rehearsal, whole] = [new Rehearsal(), new Rehearsal()];
    const gone = new Set(['x-surge-1', 'x-surge-2']);
    const lost = async () => new Map([...gone].map((name) => [name, 'x']));
    await rehearsal.run([aWave('pools', [lane()])], {
      lost,
      turn: async ({ machine }) => {
        gone.add(machine);
        await rehearsal.time.sleep(10);
      },
      gate: async ({ machine, how }) => {
        if (how !== 'remove') gone.delete(machine);
      },
    });
    await whole.run([aWave('pools', [lane()])]);
    expect(rehearsal.log).toEqual(whole.log);
  });

  test('is waited for when nothing else may begin, and its return is noticed', async () => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run(
      [aWave('pools', [aLane('pool x', workers('x', 3))])],
      lostWhile(() => rehearsal.time.now >= 10 && rehearsal.time.now < 60_000, 'x-1'),
    );
    expect(outcome.end).toBe('done');
    expect(begun(rehearsal)).toEqual(['0 begin x-1', '60010 begin x-2', '60020 begin x-3']);
    expect(rehearsal.tasks).toContain('progress pools 1.36.3');
  });

  test('and that does not come back stops the rollout, which says who it is', async () => {
    const rehearsal = new Rehearsal();
    const waves = [...two(), aWave('later', [aLane('pool z', workers('z', 1))])];
    const outcome = await rehearsal.run(
      waves,
      lostWhile(() => rehearsal.time.now >= 10, 'x-1', 'x-2'),
    );
    expect(outcome).toMatchObject({ end: 'failed', cut: [], failures: [{ at: 'wait', wave: { name: 'pools' } }] });
    expect(outcome.failures[0]?.place).toBeUndefined();
    expect(String(outcome.failures[0]?.error)).toMatch(/2 workers are lost.*: x-1, x-2\n.*Waited for 120 s\nNext: cluster up/);
    // The other pool had all its turns.
    expect(machines(outcome.done)).toEqual(['x-1', 'y-1', 'x-2', 'y-2', 'y-3', 'y-4']);
    expect(machines(outcome.notBegun)).toEqual(['x-3', 'x-4', 'x-5', 'z-1']);
    expect(rehearsal.tasks.slice(-1)).toEqual(['failed pools 1.36.3']);
    expect(rehearsal.time.now).toBe(120_010);
  });

  test('is not waited for any more after Ctrl-C', async () => {
    const rehearsal = new Rehearsal();
    let looks = 0;
    const lost = async () => {
      if (++looks === 10) rehearsal.stop.abort();
      return new Map([['x-9', 'x']]);
    };
    const outcome = await rehearsal.run([aWave('pools', [aLane('pool x', workers('x', 3))])], { lost });
    expect(outcome).toMatchObject({ end: 'stopped', failures: [], done: [] });
    expect([looks, outcome.notBegun.length]).toEqual([10, 3]);
  });

  test('matters to nobody while masters have their turns', async () => {
    const rehearsal = new Rehearsal();
    const lost = async () => {
      throw new Error('nobody asks');
    };
    const masters = [1, 2].map((n) => aTurn(`m-${n}`, { role: 'master' }));
    expect((await rehearsal.run([aWave('masters', [aLane('masters', masters)])], { lost, maxDrains: 1 })).end).toBe('done');
  });
});

describe('what stops a rollout', () => {
  const two = () => [
    aWave('pools', [aLane('pool x', workers('x', 5), { maxUnavailable: 2 }), aLane('pool y', workers('y', 3))]),
    aWave('later', [aLane('pool z', workers('z', 1))]),
  ];

  test.each(['turn', 'gate'] as const)('a %s that fails: nothing begins in any lane, what runs ends', async (at) => {
    const rehearsal = new Rehearsal();
    const error = new Error('disk full');
    const outcome = await rehearsal.run(two(), {
      turn: async ({ machine }) => {
        await rehearsal.time.sleep(machine === 'x-2' ? 5 : 10);
        if (at === 'turn' && machine === 'x-2') throw error;
      },
      gate: async ({ machine }) => {
        if (machine === 'x-2') throw error;
      },
    });
    expect(outcome.end).toBe('failed');
    expect(outcome.failures).toMatchObject([{ at, error, place: { lane: 'pool x', turn: { machine: 'x-2' } } }]);
    expect(machines(outcome.done)).toEqual(['x-1', 'y-1']);
    expect(machines(outcome.notBegun)).toEqual(['x-3', 'x-4', 'x-5', 'y-2', 'y-3', 'z-1']);
    expect(outcome.cut).toEqual([]);
    expect(rehearsal.log.at(-1)).toBe('10 end y-1');
    expect(rehearsal.tasks.slice(-1)).toEqual(['cut pools 1.36.3']);
    expect(rehearsal.tasks).toContain('failed pools 1.36.3/x-2');
  });

  test('all failures are told', async () => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run(two(), {
      turn: async ({ machine }) => {
        await rehearsal.time.sleep(10);
        throw new Error(machine);
      },
    });
    expect(outcome.failures.map(({ error }) => String(error))).toEqual(['Error: x-1', 'Error: y-1', 'Error: x-2']);
  });

  test('a wave that cannot begin', async () => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run(two(), {
      wave: async () => {
        throw new Error('no taint');
      },
    });
    expect(outcome).toMatchObject({ end: 'failed', failures: [{ at: 'begin', wave: { name: 'pools' } }], done: [] });
    expect(outcome.notBegun).toHaveLength(9);
  });

  test('a wave that cannot end', async () => {
    const outcome = await new Rehearsal().run(two(), {
      wave: async (_, at) => {
        if (at === 'end') throw new Error('CoreDNS is not ready');
      },
    });
    expect(outcome).toMatchObject({ end: 'failed', failures: [{ at: 'end', wave: { name: 'pools' } }] });
    expect(machines(outcome.notBegun)).toEqual(['z-1']);
  });

  test('the first Ctrl-C: turns at hand are finished, none begins', async () => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run(two(), {
      turn: async ({ machine }) => {
        await rehearsal.time.sleep(10);
        if (machine === 'x-1') rehearsal.stop.abort();
      },
    });
    expect(outcome.end).toBe('stopped');
    expect(machines(outcome.done)).toEqual(['x-1', 'y-1', 'x-2']);
    expect(outcome.cut).toEqual([]);
  });

  test('Ctrl-C in the last turn of all: it is done', async () => {
    const rehearsal = new Rehearsal();
    const turn = async () => rehearsal.stop.abort();
    expect(await rehearsal.run([aWave('pools', [aLane('pool x', workers('x', 1))])], { turn })).toMatchObject({ end: 'done' });
    expect(rehearsal.log.at(-1)).toBe('0 end pools 1.36.3');
  });

  test('the second Ctrl-C: turns are told to end, and waited for a moment', async () => {
    const rehearsal = new Rehearsal();
    const cut: string[] = [];
    const outcome = await rehearsal.run(two(), {
      turn: async ({ machine }, _, signal) => {
        if (machine === 'y-1') {
          await rehearsal.time.sleep(3);
          rehearsal.abort.abort(new Error('interrupted'));
        }
        try {
          await rehearsal.time.sleep(10, { signal });
        } finally {
          cut.push(machine);
        }
      },
    });
    expect(outcome).toMatchObject({ end: 'aborted', failures: [], done: [] });
    expect(machines(outcome.cut).toSorted()).toEqual(cut.toSorted());
    expect(cut).toHaveLength(3);
    expect(rehearsal.time.now).toBe(3);
  });

  test('a turn that does not end when it is told to keeps nobody waiting', async () => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run(two(), {
      cutWithinMs: 50,
      turn: async ({ machine }) => {
        if (machine === 'x-1') rehearsal.abort.abort();
        await rehearsal.time.sleep(1e9);
      },
    });
    expect(outcome.end).toBe('aborted');
    expect(machines(outcome.cut)).toEqual(['x-1']);
    expect(rehearsal.time.now).toBe(50);
  });

  test.each(['a failure', 'Ctrl-C'])('after %s what runs has its time, then it is told to end', async (why) => {
    const rehearsal = new Rehearsal();
    const outcome = await rehearsal.run(two(), {
      finishWithinMs: 1000,
      turn: async ({ machine }, _, signal) => {
        if (machine === 'y-1') await rehearsal.time.sleep(5000, { signal });
        await rehearsal.time.sleep(0);
        if (why === 'Ctrl-C') rehearsal.stop.abort();
        else throw new Error('broken');
      },
    });
    expect(outcome.end).toBe(why === 'Ctrl-C' ? 'stopped' : 'failed');
    expect(machines(outcome.cut)).toEqual(['y-1']);
    expect(rehearsal.time.now).toBe(1000);
    expect(rehearsal.tasks).toContain('cut pools 1.36.3/y-1');
  });

  test('outside the window nothing begins, and once it has closed it stays closed', async () => {
    const rehearsal = new Rehearsal();
    const windowClosed = () => rehearsal.time.now >= 10 && rehearsal.time.now < 11;
    const outcome = await rehearsal.run(two(), {
      windowClosed,
      turn: ({ machine }) => rehearsal.time.sleep(machine === 'y-1' ? 20 : 10),
    });
    expect(outcome).toMatchObject({ end: 'window closed', failures: [], cut: [] });
    expect(machines(outcome.done)).toEqual(['x-1', 'x-2', 'y-1']);
  });

  test('before the window opens not even a wave begins', async () => {
    const rehearsal = new Rehearsal();
    expect(await rehearsal.run(two(), { windowClosed: () => true })).toMatchObject({ end: 'window closed', done: [] });
    expect(rehearsal.log).toEqual([]);
  });

  test('it pauses after masters, or after each wave; after the last it is done', async () => {
    const waves = ['etcd', 'masters', 'pools'].map((name) => aWave(name, [aLane(name, [aTurn(`${name}-1`)])]));
    const masters = await new Rehearsal().run(waves, { pauseAfter: 'masters' });
    expect(masters.end).toBe('paused');
    expect(machines(masters.notBegun)).toEqual(['pools-1']);
    const wave = await new Rehearsal().run(waves, { pauseAfter: 'wave' });
    expect(machines(wave.done)).toEqual(['etcd-1']);
    expect((await new Rehearsal().run(waves.slice(2), { pauseAfter: 'wave' })).end).toBe('done');
  });
});
