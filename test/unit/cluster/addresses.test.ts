import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { noSlots } from '../../../src/cluster/addresses.ts';
import { designTopology, slotsFor } from '../../../src/cluster/design.ts';
import { aCluster } from '../../support/builders.ts';

const versions = versionsFor('1.36.3');
const zoneNames = ['a', 'b', 'c', 'd', 'e', 'f'];
const poolNames = ['red', 'green', 'blue', 'grey'];
const shape = fc.record({
  zones: fc.uniqueArray(fc.constantFrom(...zoneNames), { minLength: 1 }),
  pools: fc.uniqueArray(fc.record({ name: fc.constantFrom(...poolNames), count: fc.integer({ min: 0, max: 30 }) }), {
    selector: (p) => p.name,
  }),
  etcd: fc.constantFrom(1, 3, 5),
  masters: fc.integer({ min: 1, max: 5 }),
});
const clusterOf = (s: { zones: string[]; pools: { name: string; count: number }[]; etcd: number; masters: number }) =>
  aCluster({ zones: s.zones, pools: s.pools, etcd: { count: s.etcd }, masters: { count: s.masters } });

describe('addresses', () => {
  test('adding or removing any zone, pool or member changes no other address', () => {
    fc.assert(
      fc.property(shape, shape, (before, after) => {
        const slots = slotsFor(clusterOf(before), noSlots);
        const first = designTopology(clusterOf(before), { uid: 'u', slots }, versions);
        const second = designTopology(clusterOf(after), { uid: 'u', slots }, versions);
        const byName = new Map(first.machines.map((m) => [m.name, m]));
        for (const machine of second.machines) {
          const was = byName.get(machine.name);
          if (was && was.zone === machine.zone) expect(machine.address).toBe(was.address);
        }
      }),
    );
  });

  test('the order of zones in the file means nothing once they have slots', () => {
    fc.assert(
      fc.property(shape, (s) => {
        const identity = { uid: 'u', slots: slotsFor(clusterOf(s), noSlots) };
        const { cluster: _, ...one } = designTopology(clusterOf(s), identity, versions);
        const { cluster: __, ...other } = designTopology(clusterOf({ ...s, zones: s.zones.toReversed() }), identity, versions);
        expect(other).toEqual(one);
      }),
    );
  });

  test('no two machines share an address', () => {
    fc.assert(
      fc.property(shape, (s) => {
        const topology = designTopology(clusterOf(s), { uid: '', slots: noSlots }, versions);
        const all = [...topology.machines.map((m) => m.address), topology.api.address];
        expect(new Set(all).size).toBe(all.length);
      }),
    );
  });

  test('a pool that outgrows its block is refused with the range named', () => {
    expect(() =>
      designTopology(
        aCluster({ network: { machines: '172.30.0.0/20' }, pools: [{ name: 'big', count: 60 }] }),
        { uid: '', slots: noSlots },
        versions,
      ),
    ).toThrow(/no address for machine/);
  });
});
