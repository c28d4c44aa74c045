import { describe, expect, test } from 'vitest';
import { type MemberView, parseView } from '../../../src/etcd/gateway.ts';
import { lackOfMembers } from '../../../src/etcd/well.ts';

function aView(status: object): MemberView {
  const own = { header: { member_id: '1' }, version: '3.6.15', leader: '1', raftAppliedIndex: '5000', ...status };
  const view = parseView(JSON.stringify({ members: [], status: own, alarms: [] }));
  if (!view) throw new Error('no view');
  return view;
}

describe('what members lack', () => {
  test('is nothing where all have applied about the same', () => {
    expect(
      lackOfMembers(
        new Map([
          ['etcd-a', aView({})],
          ['etcd-b', aView({ raftAppliedIndex: '4990' })],
        ]),
      ),
    ).toEqual([]);
  });
  test.each([
    ['lags behind', { raftAppliedIndex: '3999' }, 'etcd-b is 1001 entries behind'],
    ['has no vote', { isLearner: true }, 'etcd-b has no vote yet'],
    ['reports an error', { errors: ['memberID:1 alarm:NOSPACE'] }, 'etcd-b: memberID:1 alarm:NOSPACE'],
  ])('names one that %s', (_, status, why) => {
    const views = new Map([
      ['etcd-a', aView({})],
      ['etcd-b', aView(status)],
    ]);
    expect(lackOfMembers(views)).toEqual([why]);
  });
});
