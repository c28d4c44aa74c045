import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chosenOf, leftOf } from '../../src/plan/make.ts';
import type { FieldChange } from '../../src/plan/resource.ts';
import { LocalLab, sshAnswers } from '../support/local-lab.ts';

/** The local provider's own types against the real Docker: the smallest cluster that has every role. */
const lab = await LocalLab.open('t-local');
const small = {
  network: { machines: '10.235.0.0/16' },
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

/** Says yes to every request over TLS, then repeats what it hears: an API server with a watch, as far as haproxy can tell. */
const readyServer = `cd /tmp && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 1 -subj /CN=x 2>/dev/null
printf '%s\\n' '#!/bin/sh' 'read -r line' 'echo HTTP/1.0 200 OK' echo 'exec cat' >ready
chmod +x ready
systemd-run -q --unit ready socat OPENSSL-LISTEN:6443,reuseaddr,fork,cert=/tmp/c.pem,key=/tmp/k.pem,verify=0 EXEC:/tmp/ready`;

/** One TLS connection that stays. The balancer has to find the server first: it looks twice a second. */
async function holdOpen(port: number) {
  const attempt = async () => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    socket.once('error', () => socket.destroy());
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(2_000) }).catch(() => socket.destroy());
    return socket.destroyed ? undefined : socket;
  };
  let open = await attempt();
  for (const end = Date.now() + 60_000; !open && Date.now() < end; open = await attempt()) await sleep(200);
  if (!open) throw new Error(`no TLS connection to ${port} within 60 s`);
  const socket = open;
  return {
    greet: () => socket.write('GET / HTTP/1.0\n'),
    async say(text: string): Promise<string> {
      socket.write(`${text}\n`);
      let heard = '';
      while (!heard.includes(text)) {
        const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(5000) });
        heard += data;
      }
      return heard;
    },
    close: () => socket.destroy(),
  };
}

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

  test('gives the balancer new masters without cutting the connections of the old', async () => {
    await lab.plan(desired);
    await lab.ssh(topology, 'master-a', readyServer);
    const { api } = lab.provider.access(topology, lab.seen);
    const held = await holdOpen(Number(new URL(api?.server ?? '').port));
    held.greet();
    expect(await held.say('before')).toContain('before');
    const pid = await haproxy();

    const grown = lab.provider.design(lab.topology({ ...small, masters: { count: 2 } }));
    const both = [
      ...desired.filter(({ type }) => type !== 'local.balancer'),
      ...grown.filter(({ type }) => type === 'local.balancer'),
    ];
    expect(fieldsOf(chosenOf(await lab.apply(both)))).toEqual(['local.balancer/api: backends.master-a-2']);
    expect((await lab.plan(both)).changes).toEqual([]);

    expect(await held.say('after')).toContain('after');
    held.close();
    expect(await haproxy()).toBe(pid);
    // A master that is no longer designed serves until its machine goes.
    expect(fieldsOf(leftOf(await lab.apply(desired)))).toEqual(['local.balancer/api: backends.master-a-2']);
    expect((await lab.plan(both)).changes).toEqual([]);
    await lab.apply(desired, { command: 'upgrade', allowDataLoss: false });
    expect((await lab.plan(desired)).changes).toEqual([]);
  });
  const haproxy = async () => (await container('balancer').inspect()).State.Pid;

  test('replaces a machine that is designed otherwise only where that is allowed', async () => {
    const other = desired.map((resource) =>
      resource.address === 'local.machine/workers-a-1' ? { ...resource, props: { ...resource.props, zone: 'b' } } : resource,
    );
    const before = (await container('workers-a-1').inspect()).Id;
    expect(leftOf(await lab.apply(other)).map(({ address }) => address)).toEqual(['local.machine/workers-a-1']);
    expect((await container('workers-a-1').inspect()).Id).toBe(before);
    await lab.apply(other, { command: 'upgrade', allowDataLoss: false });
    expect((await container('workers-a-1').inspect()).Id).not.toBe(before);
    expect((await lab.plan(other)).changes).toEqual([]);
    await lab.apply(desired, { command: 'upgrade', allowDataLoss: false });
  });

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
      const same = other.topology({ network: { machines: '10.235.0.0/16' } });
      await expect(other.apply(other.provider.design(same))).rejects.toThrow(
        /Docker network slipway-t-local has 10\.235\.0\.0\/16/,
      );
      const findings = await other.findings(same);
      expect(findings.filter(({ severity }) => severity === 'error')).toMatchObject([{ check: 'host.range' }]);
    } finally {
      await other.remove();
    }
  });

  test('finds nothing to complain about on a host where it runs', async () => {
    const findings = await lab.findings(topology);
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  test('leaves volumes unless data loss is allowed, and nothing at all when it is', async () => {
    await lab.apply([], { command: 'down', allowDataLoss: false });
    expect(await lab.things()).toEqual({ containers: 0, networks: 0, volumes: 2 });
    await lab.apply([], { command: 'down', allowDataLoss: true });
    expect(await lab.things()).toEqual({ containers: 0, networks: 0, volumes: 0 });
  });
});
