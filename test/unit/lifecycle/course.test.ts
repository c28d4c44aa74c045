import { describe, expect, test } from 'vitest';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology } from '../../../src/cluster/design.ts';
import { type ClusterRecord, identityFrom } from '../../../src/lifecycle/identity.ts';
import { inForce } from '../../../src/lifecycle/in-force.ts';
import { settingsOf } from '../../../src/lifecycle/settings.ts';
import { courseOf, rolloutRecord, variantsAt } from '../../../src/lifecycle/upgrade/course.ts';
import { aCluster } from '../../support/builders.ts';

const file = (version: string, kubelet: Readonly<Record<string, string>> = {}) =>
  aCluster({ kubernetes: { version }, pools: [{ name: 'workers', count: 3, kubelet: { extraArgs: kubelet } }] });
type File = ReturnType<typeof file>;
const [old, bad, mended] = [file('1.35.4'), file('1.36.3', { 'no-such-flag': '1' }), file('1.36.3', { v: '3' })];
const atRest: ClusterRecord = {
  formatVersion: 1,
  cluster: 'demo',
  uid: 'u',
  slots: { zones: {}, pools: {} },
  versions: versionsFor('1.35.4'),
  settings: settingsOf(old),
};
const topology = designTopology(old, identityFrom(atRest), atRest.versions);
const courseFrom = (of: File, record: ClusterRecord) => courseOf(of, inForce(of, record).variants.all[0], record);

/** The record of an upgrade to that file, when these machines had made the last of its hops. */
function stopped(of: File, record: ClusterRecord, ...moved: string[]): ClusterRecord {
  const course = courseFrom(of, record);
  const last = course.hops.at(-1)?.index ?? 0;
  const at = { ...course.variants.at, ...Object.fromEntries(moved.map((name) => [name, last])) };
  return { ...record, rollout: rolloutRecord(course, topology, { at, turning: new Set(), replacing: new Map() }) };
}
/** The kubelet's arguments that each hop before this machine would give it. */
const argumentsAhead = (of: File, record: ClusterRecord, machine: string) => {
  const course = courseFrom(of, record);
  return course.hops.map((hop) => {
    const { all, at } = variantsAt(course, hop, topology);
    return all[at[machine] ?? 0]?.cluster.pools[0]?.kubelet.extraArgs;
  });
};

describe('arguments of kubelets that were written for the next version', () => {
  test('do not reach kubelets of this one', () => {
    const { variants, left } = inForce(bad, atRest);
    expect(variants.all[0].cluster.pools[0]?.kubelet.extraArgs).toEqual({});
    expect(left.flatMap(({ fields }) => fields.map(({ path }) => path))).toContain('pools.kubelet');
  });
  test('follow the file at once where no other version is asked for, as every setting does that interrupts nobody', () => {
    const { variants } = inForce(file('1.35.4', { v: '3' }), atRest);
    expect(variants.all[0].cluster.pools[0]?.kubelet.extraArgs).toEqual({ v: '3' });
  });
  test('a pool of which the record knows nothing is new: it follows the file', () => {
    const { variants } = inForce(bad, { ...atRest, settings: { ...settingsOf(old), pools: {} } });
    expect(variants.all[0].cluster.pools[0]?.kubelet.extraArgs).toEqual({ 'no-such-flag': '1' });
  });
});

describe('an upgrade that a setting has stopped', () => {
  const record = stopped(bad, atRest, 'master-a', 'master-b');
  test('goes on, once that is mended, without giving it to those that it has not reached', () => {
    expect(argumentsAhead(bad, record, 'workers-a-1')).toEqual([{ 'no-such-flag': '1' }]);
    expect(argumentsAhead(mended, record, 'workers-a-1')).toEqual([{ v: '3' }]);
  });
  test('also when it is stopped again before anybody has made the next hop, and when the mending is taken back', () => {
    const again = stopped(mended, record);
    expect(argumentsAhead(mended, again, 'workers-a-1')).toEqual([{ v: '3' }]);
    expect(argumentsAhead(bad, again, 'workers-a-1')).toEqual([{ 'no-such-flag': '1' }]);
  });
  test('and again: a third file, with machines at both hops before', () => {
    const twice = stopped(mended, record, 'master-c', 'workers-a-1');
    expect(argumentsAhead(file('1.36.3'), twice, 'workers-b-1')).toEqual([{}]);
    const { variants, hops } = courseFrom(file('1.36.3'), twice);
    expect(hops.map(({ index }) => index)).toEqual([3]);
    expect(variants.at).toMatchObject({ 'master-a': 1, 'master-c': 2, 'workers-a-1': 2, 'workers-b-1': 0 });
  });
  test('a pool that was added meanwhile is no reason for another hop', () => {
    const grown = { ...bad, pools: [...bad.pools, ...aCluster({ pools: [{ name: 'more', count: 1 }] }).pools] };
    expect(courseFrom(grown, record).hops.map(({ index, moves }) => [index, moves])).toEqual(
      courseFrom(bad, record).hops.map(({ index, moves }) => [index, moves]),
    );
  });
});
