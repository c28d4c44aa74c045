import { describe, expect, test } from 'vitest';
import { componentFacts } from '../../../src/health/components.ts';
import type { Seen } from '../../../src/host/facts.ts';
import type { UnitFacts } from '../../../src/host/host.ts';
import { aHost, aUnit } from './facts.ts';

const host = (version: string, units: Readonly<Record<string, UnitFacts>>): Seen =>
  aHost({
    units: new Map(Object.entries(units).map(([name, unit]) => [`${name}.service`, unit])),
    assets: new Set([
      'etcd/3.6.16/etcdctl',
      ...['kube-proxy', 'kube-scheduler', 'kube-controller-manager'].map((name) => `kubernetes/${version}/${name}`),
    ]),
  });
const of = (seen: Seen): readonly string[] =>
  componentFacts(new Map([['master-a', seen]])).map(({ component, version }) => `${component} ${version}`);

describe('programs beside the kubelet', () => {
  test('what runs is of the version that lies there', () => {
    const units = { 'kube-proxy': aUnit('active'), 'kube-scheduler': aUnit('active'), etcd: aUnit('active') };
    expect(of(host('1.36.3', units))).toEqual(['kube-proxy 1.36.3', 'kube-scheduler 1.36.3']);
  });
  test('of what does not run, runs older files than lie there, or is not the last bundle’s, nothing is said', () => {
    const units = { 'kube-proxy': aUnit('active', { asApplied: false }), 'kube-scheduler': aUnit('active') };
    expect(of(host('1.36.3', units))).toEqual(['kube-scheduler 1.36.3']);
    expect(of(host('1.36.3', { 'kube-proxy': aUnit('activating'), 'kube-scheduler': aUnit('active', { stale: true }) }))).toEqual(
      [],
    );
    expect(of({ state: 'unknown', why: 'it gives no answer' })).toEqual([]);
  });
});
