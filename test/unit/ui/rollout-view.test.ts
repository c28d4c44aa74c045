import { describe, expect, it } from 'vitest';
import type { UpgradeResult } from '../../../src/rollout/result.ts';
import type { Turn } from '../../../src/rollout/rollout.ts';
import type { UpgradePlan } from '../../../src/rollout/upgrade-plan.ts';
import { rolloutView } from '../../../src/ui/rollout-view.ts';
import { plainLook } from '../../../src/ui/style.ts';
import { upgradeView } from '../../../src/ui/upgrade-view.ts';
import { sampleUpgrade } from '../../support/rollout.ts';

const plan = await sampleUpgrade();
const markdown = (of: UpgradePlan): string => rolloutView.markdown?.(of) ?? '';
const human = (of: UpgradePlan): string => rolloutView.human(of, plainLook);

/** A pool of so many machines, each with a diff of its own that is so long. */
function wide(machines: number, lines: number, over: Partial<Turn> = {}): UpgradePlan {
  const turns = Array.from({ length: machines }, (_, i): Turn => {
    const diff = Array.from({ length: lines }, (_, line) => `+${i} ${line} ${'x'.repeat(40)}\n`).join('');
    const name = `workers-a-${i}`;
    return {
      machine: name,
      role: 'worker',
      zone: 'a',
      pool: 'workers',
      how: 'in-place',
      drain: true,
      because: [],
      versions: [],
      restarts: [],
      files: [{ path: '/f', diff }],
      ...over,
    };
  });
  const lane = {
    name: 'pool workers',
    strategy: 'in-place' as const,
    maxUnavailable: 1,
    maxSurge: 0,
    first: [],
    turns,
    last: [],
  };
  return {
    ...plan,
    rollout: { ...plan.rollout, obstacles: [], waves: [{ name: 'pools', kubernetes: '1.36.3', lanes: [lane], changes: [] }] },
  };
}

describe('the dry run for people', () => {
  it('has what is in the way first, and what is only worth knowing last', async () => {
    const obstacles = [
      { severity: 'warning' as const, where: 'pod a/b', what: 'has a local volume' },
      {
        severity: 'error' as const,
        where: 'pod shop/web-1',
        what: 'cannot be evicted',
        why: 'PodDisruptionBudget shop/web allows none',
        next: 'raise it',
      },
    ];
    const text = human(await sampleUpgrade({ obstacles }));
    expect(text.split('\n').slice(0, 5)).toEqual([
      'In the way: this upgrade would not begin',
      '  ✖ pod shop/web-1: cannot be evicted',
      '      PodDisruptionBudget shop/web allows none',
      '      Next: raise it',
      '',
    ]);
    expect(text.indexOf('has a local volume')).toBeGreaterThan(text.indexOf('4. pools'));
    expect(text).toContain('1 in the way');
  });
  it('says what becomes of a recovery point before etcd or a master is touched', async () => {
    const of = async (recoveryPoint: UpgradePlan['rollout']['recoveryPoint']) => {
      const { recoveryPoint: _, ...rollout } = plan.rollout;
      return human({ ...plan, rollout: { ...rollout, ...(recoveryPoint && { recoveryPoint }) } }).split('\n')[1];
    };
    const newest = { id: '20261120T030000000Z-7f3a2b', at: 0, ageSeconds: 3 * 3600 };
    expect(await of({ what: 'take', newest })).toBe('  It takes a recovery point first: the newest is 3 h 00 min old.');
    expect(await of({ what: 'take', newest: null })).toBe('  It takes a recovery point first: there is none.');
    expect(await of({ what: 'have', newest })).toContain(`${newest.id} is there, 3 h 00 min old`);
    expect(await of({ what: 'skip', newest })).toContain('(--skip-recovery-point): the newest is 3 h 00 min old');
    expect(await of(undefined)).not.toContain('recovery point');
    expect(markdown(plan)).toContain('It takes a recovery point first: the newest is');
  });
  it('says when there is nothing to do, and when nobody knows how long it takes', async () => {
    expect(human(await sampleUpgrade({ waves: [], obstacles: [] }))).toBe('✔ shop: nothing to upgrade');
    expect(markdown(await sampleUpgrade({ waves: [], obstacles: [] }))).toContain('Nothing to upgrade.');
    expect(human(await sampleUpgrade({ estimateSeconds: null, pods: 0 }))).toContain(
      'No pod moves. There is no estimate of time',
    );
  });
  it('shows one diff for a thousand machines that are treated alike, and the first of them', () => {
    const alike = wide(1000, 3, { files: [{ path: '/f', diff: '--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-a\n+b\n' }] });
    expect(human(alike).split('\n').length).toBeLessThan(30);
    expect(human(alike)).toContain('and 992 more like these (-v shows all)');
    expect(human(alike)).toContain('1 file of workers-a-0 (the same on workers-a-1, workers-a-2');
    expect(rolloutView.human(alike, { ...plainLook, verbose: true })).toContain('workers-a-999');
  });
  it('lets nothing through that a terminal would obey', () => {
    const evil = wide(1, 1, { because: ['\u001b[2J'], files: [{ path: '/f', diff: '+\u001b]0;title\u0007\n' }] });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(human(evil)).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });
  it('names what no machine brings about: what is shared, and what goes', () => {
    const base = { fields: [], impact: 'none', reason: 'not in cluster.yaml', when: { now: true } } as const;
    const change = (address: UpgradePlan['changes'][number]['address'], action: 'update' | 'delete') => ({
      ...base,
      fields: [],
      address,
      action,
    });
    const more: UpgradePlan = {
      ...plan,
      changes: [
        change('pki.certificate/master-a.apiserver', 'update'),
        change('etcd.member/main.etcd-a', 'update'),
        change('kube.addon/coredns', 'update'),
        change('local.volume/etcd-d.main', 'delete'),
      ],
    };
    expect(human(more)).toContain(
      'Last, what is shared and what goes\n    - local.volume/etcd-d.main  not in cluster.yaml\n\nWorth knowing',
    );
    expect(markdown(more)).toContain('- delete `local.volume/etcd-d.main`: not in cluster.yaml');
    const only: UpgradePlan = { ...more, rollout: { ...more.rollout, waves: [], obstacles: [] } };
    expect(human(only)).not.toContain('nothing to upgrade');
  });
  it('names what could not be seen, and what is left', () => {
    const change = {
      address: 'host.bundle/master-c',
      action: 'unknown',
      fields: [],
      impact: 'none',
      reason: 'no route',
      when: { left: 'unseen', because: 'no route' },
    } as const;
    const unseen: UpgradePlan = { ...plan, changes: [{ ...change, fields: [] }] };
    expect(human(unseen)).toContain('? host.bundle/master-c  no route');
    expect(markdown(unseen)).toContain('- `host.bundle/master-c`: no route');
  });
});

describe('the dry run on a pull request', () => {
  it.each([
    [3, 10],
    [400, 1],
    [3, 5000],
    [40, 200],
    [1000, 100],
  ])('of %i machines with %i lines each is never longer than GitHub takes, and says what it leaves out', (machines, lines) => {
    const text = markdown(wide(machines, lines));
    expect(text.length).toBeLessThanOrEqual(60_000);
    expect(/do not fit into a comment/.test(text)).toBe(machines * lines > 5000);
    expect(text.match(/<details>/g)?.length).toBe(text.match(/<\/details>/g)?.length);
    expect((text.match(/^```/gm)?.length ?? 0) % 2).toBe(0);
  });
  it('keeps small diffs whole when a large one is cut', () => {
    const large = wide(2, 5000);
    const [lane] = large.rollout.waves[0]?.lanes ?? [];
    const [, second] = lane?.turns ?? [];
    if (second) second.files = [{ path: '/g', diff: '+small\n+and whole\n' }];
    expect(markdown(large)).toContain('+small\n+and whole\n```');
    expect(markdown(large)).toMatch(/\.\.\. \d+ lines do not fit/);
  });
  it('stays in its block whatever a file holds', () => {
    const text = markdown(wide(1, 1, { files: [{ path: '/f', diff: '+```\n+</details>\n' }] }));
    expect(text).toContain('````diff\n+```\n+</details>\n````');
  });
  it('of very many obstacles keeps its size', async () => {
    const obstacles = Array.from({ length: 5000 }, (_, i) => ({
      severity: 'error' as const,
      where: `pod a/${i}`,
      what: 'w'.repeat(900),
    }));
    const text = markdown(await sampleUpgrade({ obstacles }));
    expect(text.length).toBeLessThanOrEqual(60_000);
    expect(text).toMatch(/and 49\d\d more/);
  });
});

describe('the result of an upgrade', () => {
  const result: UpgradeResult = {
    cluster: 'shop',
    runId: 'r1',
    outcome: 'done',
    kubernetes: '1.36.3',
    waves: [
      { name: 'masters', kubernetes: '1.36.3', machines: ['master-a', 'master-b'], changes: [], seconds: 41.2 },
      { name: 'addons', kubernetes: '1.36.3', machines: [], changes: ['kube.addon/coredns'], seconds: 3 },
    ],
    seconds: 52,
    left: [],
    findings: [],
  };
  const text = (over: Partial<UpgradeResult> = {}) => upgradeView.human({ ...result, ...over }, plainLook);
  it('says what was done, and how long each wave took', () => {
    expect(text()).toMatchInlineSnapshot(`
      "✔ shop is at 1.36.3: 2 machines in 52.0 s (run r1), and a new look finds nothing left to do.
      wave            done                  time
      masters 1.36.3  master-a, master-b  41.2 s
      addons 1.36.3   kube.addon/coredns   3.0 s
      Next: cluster status (shows what runs)"
    `);
  });
  it('paused names why, what is left, and how to go on', () => {
    const left = [{ machine: 'workers-a-1', how: 'in-place' as const }];
    expect(text({ outcome: 'paused', because: '--pause-after masters', left })).toMatchInlineSnapshot(`
      "! shop is on its way to 1.36.3, and paused where it was told to: 2 machines in 52.0 s (run r1). It serves.
        --pause-after masters
      wave            done                  time
      masters 1.36.3  master-a, master-b  41.2 s
      addons 1.36.3   kube.addon/coredns   3.0 s
      Left: workers-a-1
      Next: cluster upgrade (goes on; with --abort it is left as it is)"
    `);
    expect(upgradeView.markdown?.({ ...result, outcome: 'paused', left })).toMatchInlineSnapshot(`
      "### \`cluster upgrade\`: shop is on its way to 1.36.3, and paused where it was told to: 2 machines in 52.0 s (run r1). It serves.

      | wave | done | time |
      | --- | --- | --- |
      | masters 1.36.3 | master-a, master-b | 41.2 s |
      | addons 1.36.3 | kube.addon/coredns | 3.0 s |

      Left: workers-a-1

      Next: \`cluster upgrade\` (goes on; with --abort it is left as it is)"
    `);
  });
  it('stopped, aborted, declined and with nothing to do say so', () => {
    for (const outcome of ['stopped', 'aborted', 'declined', 'nothing to do'] as const)
      expect(text({ outcome, waves: [] }).split('\n')[0]).toMatchSnapshot(outcome);
  });
  it('for programs has the next command too', () => {
    expect(upgradeView.json?.(result)).toMatchObject({ formatVersion: 1, outcome: 'done', next: 'cluster status' });
    expect(upgradeView.json?.({ ...result, outcome: 'declined' })).toMatchObject({ next: null });
  });
});
