import { describe, expect, it } from 'vitest';
import { planSchema } from '../../../src/plan/plan.ts';
import { placesOf } from '../../../src/ui/place.ts';
import { planView, planViewOf } from '../../../src/ui/plan-view.ts';
import { plainLook } from '../../../src/ui/style.ts';
import { render } from '../../../src/ui/view.ts';
import { aChange, aPlan } from './plan.ts';

const human = (plan: Parameters<typeof planView.human>[0]) => planView.human(plan, plainLook);
const everything = aPlan(
  aChange('kube.addon/coredns', {
    action: 'update',
    reason: '1 field differs',
    fields: [{ path: 'replicas', before: 2, after: 3, impact: 'none', note: 'rolls the pods' }],
  }),
  aChange('local.machine/etcd-b'),
  aChange('local.machine/etcd-a'),
  aChange('host.bundle/workers-a-1'),
  aChange('local.machine/bastion'),
  aChange('pki.authority/etcd-peer'),
  aChange('host.units/master-a', {
    action: 'update',
    impact: 'restart',
    reason: '1 field differs',
    fields: [{ path: 'flags', before: 'a', after: { pending: 'local.network/main' }, impact: 'restart' }],
    when: { left: 'upgrade', because: 'it restarts what serves' },
  }),
  aChange('host.units/master-b', {
    action: 'unknown',
    reason: 'sshd did not answer',
    when: { left: 'unseen', because: 'sshd did not answer' },
  }),
);

describe('for people', () => {
  it('groups by zone and role, the cluster first, and lists what is left and what was not seen', () => {
    expect(human(everything)).toMatchInlineSnapshot(`
      "cluster
          ~ kube.addon/coredns  1 field differs
              replicas: 2 → 3 (rolls the pods)
          + pki.authority/etcd-peer
        bastion
          + local.machine/bastion
      zone a
        etcd
          + local.machine/etcd-a
        worker
          + host.bundle/workers-a-1
      zone b
        etcd
          + local.machine/etcd-b

      Left to \`upgrade\`
          ~ host.units/master-a  [restart]  it restarts what serves
              flags: "a" → known after local.network/main  restart

      Not seen (unknown is not absent: nothing is done about these)
          ? host.units/master-b  sshd did not answer

      demo: 5 to create, 1 to update; 1 left to \`upgrade\`; 1 not seen"
    `);
  });
  it('says that nothing differs', () => {
    expect(human(aPlan())).toBe('✔ demo: nothing differs from cluster.yaml');
  });
  it('is never empty while something was not seen', () => {
    const plan = aPlan(aChange('host.units/master-b', { action: 'unknown', when: { left: 'unseen', because: 'no answer' } }));
    expect(human(plan)).toContain('demo: nothing to do now; 1 not seen');
  });
  it('shows the first of many of a kind, and all of them with -v', () => {
    const plan = aPlan(...Array.from({ length: 40 }, (_, i) => aChange(`local.machine/workers-a-${i + 1}`)));
    expect(human(plan)).toContain('and 32 more to create local.machine');
    expect(planView.human(plan, { ...plainLook, verbose: true })).toContain('workers-a-40');
  });
  it('takes zones with dashes from the topology', () => {
    const placeOf = placesOf([{ name: 'workers-eu-west-1a-1', role: 'worker', zone: 'eu-west-1a' }]);
    expect(planViewOf({ placeOf }).human(aPlan(aChange('host.bundle/workers-eu-west-1a-1')), plainLook)).toContain(
      'zone eu-west-1a',
    );
  });
  it('lets no escape sequence from the world reach the terminal', () => {
    const plan = aPlan(
      aChange('a/b', {
        action: 'update',
        reason: 'evil \u001b[2J',
        fields: [{ path: 'x', before: '\u001b]0;title\u0007', after: 'b', impact: 'none' }],
      }),
    );
    expect(human(plan)).not.toContain('\u001b');
  });
});

it('is the plan itself as JSON, as its schema says', () => {
  expect(planSchema.parse(JSON.parse(render(planView, everything, 'json', plainLook)))).toEqual(everything);
});

describe('as markdown', () => {
  const markdown = (plan: typeof everything) => planView.markdown?.(plan) ?? '';
  it('has counts on top and folds each group', () => {
    expect(markdown(everything)).toMatchInlineSnapshot(`
      "### \`cluster up\`: demo

      5 to create, 1 to update; 1 left to \`upgrade\`; 1 not seen.

      | create | update | replace | delete | left to later | not seen |
      | --- | --- | --- | --- | --- | --- |
      | 5 | 1 | 0 | 0 | 1 | 1 |

      <details><summary>Cluster: 2</summary>

      |  | resource | impact | why | fields |
      | --- | --- | --- | --- | --- |
      | update | \`kube.addon/coredns\` |  | 1 field differs | \`replicas: 2 → 3 (rolls the pods)\` |
      | create | \`pki.authority/etcd-peer\` |  | does not exist |  |

      </details>

      <details><summary>Cluster, bastion: 1</summary>

      |  | resource | impact | why | fields |
      | --- | --- | --- | --- | --- |
      | create | \`local.machine/bastion\` |  | does not exist |  |

      </details>

      <details><summary>Zone a, etcd: 1</summary>

      |  | resource | impact | why | fields |
      | --- | --- | --- | --- | --- |
      | create | \`local.machine/etcd-a\` |  | does not exist |  |

      </details>

      <details><summary>Zone a, worker: 1</summary>

      |  | resource | impact | why | fields |
      | --- | --- | --- | --- | --- |
      | create | \`host.bundle/workers-a-1\` |  | does not exist |  |

      </details>

      <details><summary>Zone b, etcd: 1</summary>

      |  | resource | impact | why | fields |
      | --- | --- | --- | --- | --- |
      | create | \`local.machine/etcd-b\` |  | does not exist |  |

      </details>

      <details><summary>Left to <code>upgrade</code>: 1</summary>

      |  | resource | impact | why | fields |
      | --- | --- | --- | --- | --- |
      | update | \`host.units/master-a\` | **restart** | it restarts what serves | \`flags: "a" → known after local.network/main\` |

      </details>

      <details><summary>Not seen: 1</summary>

      |  | resource | impact | why | fields |
      | --- | --- | --- | --- | --- |
      | unknown | \`host.units/master-b\` |  | sshd did not answer |  |

      </details>"
    `);
  });
  it('keeps rows whole whatever a value holds', () => {
    const text = markdown(
      aPlan(
        aChange('a/b|c', {
          action: 'update',
          reason: 'x | <script>alert(1)</script>\n## heading @team',
          fields: [{ path: 'p', before: '``|`', after: '</details>', impact: 'none' }],
        }),
      ),
    );
    expect(text).not.toContain('<script>');
    const row = text.split('\n').find((line) => line.startsWith('| update')) ?? '';
    expect(row.match(/(?<!\\)\|/g)).toHaveLength(6);
  });
  it('fits into a comment, however big the plan', () => {
    const plan = aPlan(
      ...Array.from({ length: 5000 }, (_, i) =>
        aChange(`local.machine/pool${i % 50}-${'abc'[i % 3]}-${i}`, { reason: 'r'.repeat(200) }),
      ),
    );
    expect(markdown(plan).length).toBeLessThan(65_536);
  });
});
