import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chosenOf } from '../../src/plan/make.ts';
import type { FieldChange } from '../../src/plan/resource.ts';
import { LocalLab, sshAnswers } from '../support/local-lab.ts';

/** The local provider's own types against the real Docker: the smallest cluster that has every role. */
const lab = await LocalLab.open('t-local');
const small = {
  network: { machines: '10.215.0.0/16' },
  zones: ['a'],
  etcd: { count: 1 },
  masters: { count: 1 },
  pools: [{ name: 'workers', count: 1 }],
};
const topology = lab.topology(small);
const desired = lab.provider.design(topology);
const container = (machine: string) => lab.docker.getContainer(`${lab.name}-${machine}`);
const fieldsOf = (changes: readonly { address: string; fields: readonly FieldChange[] }[]) =>
  changes.map(({ address, fields }) => `${address}: ${fields.map(({ path }) => path).join(', ')}`);

beforeAll(async () => {
  await lab.removeThings();
  await lab.apply(desired);
});
afterAll(() => lab.remove());

describe('a cluster on Docker', () => {
  test('is found again as it was designed', async () => {
    expect((await lab.plan(desired)).changes).toEqual([]);
  });

  test('boots machines with the pinned host key, the one authorized key, and little else', async () => {
    await Promise.all(topology.machines.map(({ address }) => sshAnswers(address, 22)));
    for (const machine of ['bastion', 'etcd-a']) {
      const text = await lab.ssh(
        topology,
        machine,
        'systemctl is-system-running --wait; hostname; findmnt -rno TARGET /var/lib/etcd-main',
      );
      expect(text).toContain(`running\n${machine}\n`);
      expect(text.includes('/var/lib/etcd-main')).toBe(machine === 'etcd-a');
    }
  });

  test('shows a stopped machine as one field, and starts it', async () => {
    await container('workers-a-1').stop({ t: 1 });
    expect(fieldsOf((await lab.plan(desired)).changes)).toEqual(['local.machine/workers-a-1: running']);
    expect(lab.provider.access(topology, lab.seen).hosts.get('workers-a-1')).toMatchObject({ state: 'unreachable' });
    await lab.apply(desired);
    expect((await lab.plan(desired)).changes).toEqual([]);
  });

  test('makes a deleted machine again, with the volume that it had', async () => {
    await lab.ssh(topology, 'etcd-a', 'echo precious >/var/lib/etcd-main/data');
    await container('etcd-a').remove({ force: true, v: true });
    expect((await lab.plan(desired)).changes.map(({ address, action }) => `${action} ${address}`)).toEqual([
      'create local.machine/etcd-a',
    ]);
    await lab.apply(desired);
    await sshAnswers(topology.machines.find(({ name }) => name === 'etcd-a')?.address ?? '', 22);
    expect(await lab.ssh(topology, 'etcd-a', 'cat /var/lib/etcd-main/data')).toBe('precious\n');
  });

  test('makes a machine again whose run was killed before its first start', async () => {
    const found = await container('workers-a-1').inspect();
    await container('workers-a-1').remove({ force: true, v: true });
    await lab.docker.createContainer({ name: found.Name.slice(1), Image: found.Image, Labels: found.Config.Labels });
    await lab.apply(desired);
    expect((await lab.plan(desired)).changes).toEqual([]);
    expect((await container('workers-a-1').inspect()).State.Running).toBe(true);
  });

  test('gives the balancer new masters without cutting connections', async () => {
    const pid = await haproxy();
    const grown = lab.provider.design(lab.topology({ ...small, masters: { count: 2 } }));
    const balancerOf = grown.filter(({ type }) => type === 'local.balancer');
    const rest = desired.filter(({ type }) => type !== 'local.balancer');
    const plan = await lab.apply([...rest, ...balancerOf]);
    expect(fieldsOf(chosenOf(plan))).toEqual(['local.balancer/api: backends']);
    expect((await lab.plan([...rest, ...balancerOf])).changes).toEqual([]);
    expect(await haproxy()).toBe(pid);
    await lab.apply(desired);
  });
  const haproxy = async () => (await container('balancer').inspect()).State.Pid;

  test('refuses a container of somebody else that has a machine’s name', async () => {
    await container('workers-a-1').remove({ force: true, v: true });
    const image = (await container('bastion').inspect()).Image;
    const foreign = await lab.docker.createContainer({ name: `${lab.name}-workers-a-1`, Image: image });
    try {
      await expect(lab.apply(desired)).rejects.toThrow(/exists, and it is not this cluster's/);
    } finally {
      await foreign.remove({ force: true });
    }
    await lab.apply(desired);
  });

  test('says who has an address range that is taken', async () => {
    const other = await LocalLab.open('t-local-range');
    try {
      const same = other.topology({ network: { machines: '10.215.0.0/16' } });
      await expect(other.apply(other.provider.design(same))).rejects.toThrow(
        /Docker network slipway-t-local has 10\.215\.0\.0\/16/,
      );
      const findings = await Array.fromAsync(other.provider.verify(same, new AbortController().signal));
      expect(findings.filter(({ severity }) => severity === 'error')).toMatchObject([{ check: 'host.range' }]);
    } finally {
      await other.remove();
    }
  });

  test('finds nothing to complain about on a host where it runs', async () => {
    const findings = await Array.fromAsync(lab.provider.verify(topology, new AbortController().signal));
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  test('leaves volumes unless data loss is allowed, and nothing at all when it is', async () => {
    await lab.apply([], { command: 'down', allowDataLoss: false });
    expect(await lab.things()).toEqual({ containers: 0, networks: 0, volumes: 2 });
    await lab.apply([], { command: 'down', allowDataLoss: true });
    expect(await lab.things()).toEqual({ containers: 0, networks: 0, volumes: 0 });
  });
});
