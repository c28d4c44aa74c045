import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  canAdd,
  canPromote,
  canRemove,
  canRestart,
  hasQuorum,
  type Member,
  quorumOf,
  simulate,
  tolerance,
} from '../../../src/etcd/quorum.ts';

const member = (id: string, healthy = true, learner = false): Member => ({ id, name: `etcd-${id}`, healthy, learner });
const members = fc
  .array(fc.record({ healthy: fc.boolean(), learner: fc.boolean() }), { maxLength: 9 })
  .map((list) => list.map(({ healthy, learner }, i) => member(String(i), healthy, learner)));

describe('quorum', () => {
  test('of 1, 2, 3, 4, 5 voters is 1, 2, 2, 3, 3', () => {
    expect([1, 2, 3, 4, 5].map(quorumOf)).toEqual([1, 2, 2, 3, 3]);
  });
  test('a third member is not restarted while one is down', () => {
    expect(canRestart([member('a'), member('b'), member('c', false)], 'a')).toMatchObject({ ok: false });
    expect(canRestart([member('a'), member('b'), member('c')], 'a')).toEqual({ ok: true });
    expect(canRestart([member('a')], 'a')).toMatchObject({ ok: false });
  });
  test('a lost member of three may be removed, a healthy one beside it may not', () => {
    const three = [member('a'), member('b'), member('c', false)];
    expect(canRemove(three, 'c')).toEqual({ ok: true });
    expect(canRemove(three, 'a')).toMatchObject({
      ok: false,
      why: 'quorum would be lost: 1 of 2 voters healthy, 2 needed after it',
    });
  });
  test('one grows to two: the learner counts once it is healthy and promoted, not before', () => {
    expect(canAdd([member('a')], 'etcd-b')).toEqual({ ok: true });
    expect(canPromote([member('a'), member('b', false, true)], 'b')).toMatchObject({ ok: false });
    expect(canPromote([member('a'), member('b', true, true)], 'b')).toEqual({ ok: true });
  });
  test('a second learner is refused, and so is a second member of one name', () => {
    expect(canAdd([member('a'), member('b', true, true)], 'etcd-c')).toMatchObject({ ok: false });
    expect(canAdd([member('a')], 'etcd-a')).toMatchObject({ ok: false });
  });
  test('what is allowed never loses quorum, and nothing is allowed without it', () => {
    fc.assert(
      fc.property(members, fc.nat(8), (list, index) => {
        const id = String(index);
        const acts = [
          { verdict: canRemove(list, id), act: { kind: 'remove', id } },
          { verdict: canPromote(list, id), act: { kind: 'promote', id } },
          { verdict: canRestart(list, id), act: { kind: 'restart', id } },
          { verdict: canAdd(list, 'new'), act: { kind: 'add', id: 'new', name: 'new' } },
        ] as const;
        for (const { verdict, act } of acts) {
          if (!hasQuorum(list)) expect(verdict.ok).toBe(false);
          if (verdict.ok) expect(hasQuorum(simulate(list, act))).toBe(true);
        }
      }),
    );
  });
  test('learners never change it, however healthy', () => {
    fc.assert(
      fc.property(members, fc.boolean(), (list, healthy) => {
        expect(tolerance([...list, member('x', healthy, true)])).toBe(tolerance(list));
        expect(hasQuorum([...list, member('x', healthy, true)])).toBe(hasQuorum(list));
      }),
    );
  });
  test('the removal of an unhealthy member is refused only without quorum', () => {
    fc.assert(
      fc.property(members, (list) => {
        fc.pre(hasQuorum(list));
        for (const sick of list.filter((m) => !m.healthy)) expect(canRemove(list, sick.id).ok).toBe(true);
      }),
    );
  });
});
