import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadCluster } from '../../../src/config/load.ts';
import { applyRules } from '../../../src/config/rules.ts';
import { aCluster } from '../../support/builders.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

it.each(globSync('examples/{local,aws}/*.yaml', { cwd: root }).sort())('%s is valid', async (file) => {
  const { findings } = await loadCluster(`${root}/${file}`);
  expect(findings.filter(({ severity, check }) => severity !== 'ok' && check !== 'config.no-effect')).toEqual([]);
});

describe('pools of a large cluster', () => {
  const pools = (count: number, each: number) =>
    Array.from({ length: count }, (_, i) => ({ name: `p${i}`, count: each, machine: { type: 'm7i.large' } }));
  const aws = {
    provider: { aws: { region: 'eu-central-1' } },
    zones: ['eu-central-1a', 'eu-central-1b'],
    network: { machines: '10.0.0.0/16', pods: '10.128.0.0/9' },
    bastion: { allowedCidrs: ['203.0.113.0/24'], machine: { type: 't3.micro' } },
    etcd: { machine: { type: 't3.medium' } },
    masters: { machine: { type: 't3.large' } },
  };
  const errors = (over: Parameters<typeof aCluster>[0]) =>
    applyRules(aCluster(over)).flatMap(({ severity, check }) => (severity === 'error' ? [check] : []));

  it('may be more than 15 where they are groups of a cloud', () => {
    expect(errors({ ...aws, pools: pools(40, 20) })).toEqual([]);
    expect(errors({ pools: pools(16, 1) })).toContain('pools.count');
  });
  it("share a zone's subnet there: all together must find room", () => {
    expect(errors({ ...aws, pools: pools(2, 1700) })).toEqual([]);
    expect(errors({ ...aws, pools: pools(3, 1700) })).toEqual(['network.machines-capacity']);
    expect(errors({ ...aws, pools: pools(1, 4000) })).toEqual(['network.machines-capacity']);
  });
});
