import { describe, expect, test } from 'vitest';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import { firewall, type Opening, parties } from '../../../src/cluster/firewall.ts';
import type { ClusterInput } from '../../../src/config/schema.ts';
import { aCluster } from '../../support/builders.ts';

const tableOf = (over: Partial<ClusterInput> = {}): readonly Opening[] =>
  firewall(
    designTopology(
      aCluster({ provider: { aws: { region: 'eu-west-1' } }, zones: ['eu-west-1a'], ...over }),
      noIdentity,
      versionsFor('1.36.3'),
    ),
  );
const lines = (table: readonly Opening[], to: string) =>
  table
    .filter((opening) => opening.to === to)
    .map(({ from, protocol, ports }) => `${typeof from === 'string' ? from : from.cidr} ${protocol} ${ports?.join('-') ?? ''}`)
    .sort();
const outside = (table: readonly Opening[]) => table.filter(({ from }) => typeof from !== 'string');

describe('who talks with whom', () => {
  test('nothing is open to any address, unless cluster.yaml opens it', () => expect(outside(tableOf())).toEqual([]));
  test('from outside SSH reaches the bastion, and the API its balancer, from the ranges that cluster.yaml names', () => {
    const table = tableOf({
      bastion: { allowedCidrs: ['203.0.113.0/24'] },
      kubernetes: { api: { allowedCidrs: ['198.51.100.0/24', '198.51.100.0/24'] } },
    });
    expect(outside(table).map(({ to, from, ports }) => [to, from, ports])).toEqual([
      ['bastion', { cidr: '203.0.113.0/24' }, [22, 22]],
      ['balancer', { cidr: '198.51.100.0/24' }, [6443, 6443]],
    ]);
  });
  test('etcd is reached by masters and by itself, and its peers by nobody else', () => {
    expect(lines(tableOf(), 'etcd')).toEqual([
      'bastion tcp 22-22',
      'etcd tcp 2379-2379',
      'etcd tcp 2380-2380',
      'etcd tcp 2381-2381',
      'etcd tcp 2382-2382',
      'master tcp 2379-2379',
      'master tcp 2381-2381',
    ]);
    expect(lines(tableOf({ etcd: { events: false } }), 'etcd').join()).not.toContain('2381');
  });
  test('workers reach of masters the API, the pod network, kubelets and NodePorts', () => {
    const fromWorkers = lines(tableOf(), 'master').filter((line) => line.startsWith('worker'));
    expect(fromWorkers).toEqual([
      'worker tcp 10250-10250',
      'worker tcp 30000-32767',
      'worker tcp 6443-6443',
      'worker udp 30000-32767',
      'worker udp 8472-8472',
    ]);
  });
  test('the bastion reaches SSH of every machine and the API, and nothing else', () => {
    const own = tableOf().filter(({ from }) => from === 'bastion');
    expect(own.map(({ to, ports }) => `${to} ${ports?.[0]}`).sort()).toEqual([
      'balancer 6443',
      'etcd 22',
      'master 22',
      'master 6443',
      'worker 22',
    ]);
  });
  test('a pod network that Slipway does not know may use anything between nodes, and nothing to etcd', () => {
    const table = tableOf({ network: { plugin: 'none' } });
    expect(lines(table, 'worker')).toContain('master all ');
    expect(lines(table, 'etcd')).toEqual(lines(tableOf(), 'etcd'));
  });
  test('no opening is there twice', () => {
    const table = tableOf();
    const all = parties.flatMap((party) => lines(table, party).map((line) => `${party} ${line}`));
    expect(new Set(all).size).toBe(table.length);
  });
});
