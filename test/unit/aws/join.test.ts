import { X509Certificate } from 'node:crypto';
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { publicKeyOf } from '../../../src/pki/keys.ts';
import { type JoinApi, startJoinApi } from '../../support/aws/join-api.ts';
import { type MachineCloud, startMachineCloud } from '../../support/aws/machine-cloud.ts';
import { poolMachine, publishPool } from '../../support/aws/pool-machine.ts';

const notRoot = process.getuid?.() !== 0;
let cloud: MachineCloud;
let api: JoinApi;
let machine: Awaited<ReturnType<typeof poolMachine>>;
beforeEach(async () => {
  [cloud, api] = [await startMachineCloud(), await startJoinApi()];
  cloud.metadata.set('dynamic/instance-identity/document', '{"instanceId" : "i-0123456789abcdef0"}');
  cloud.metadata.set('dynamic/instance-identity/rsa2048', 'MIAG\nsigned');
  cloud.objects.set('join/workers/token', api.token);
  machine = await poolMachine(cloud, await publishPool(cloud, api));
});
afterEach(() => {
  cloud.close();
  api.close();
  machine.root.close();
});

const certificates = ['flanneld', 'kube-proxy', 'kubelet-client', 'kubelet-server'];
const nameOf = (name: string): string =>
  [...api.requests.keys()].find((each) => each.startsWith(`slipway-i-0123456789abcdef0-${name}-`)) ?? '';
async function requested(): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; await sleep(20))
    if (certificates.every((name) => nameOf(name) !== '')) return;
  throw new Error(`only ${[...api.requests.keys()]} were asked for`);
}

describe.skipIf(notRoot)('a pool’s machine at its first boot (as root: converge sets owners)', () => {
  test('asks for what its pool’s bundle says, waits for approval, and starts its units with the certificates', async () => {
    const joining = machine.join();
    await requested();
    const asked = Object.fromEntries(
      certificates.map((name) => {
        const { signerName, usages } = api.requests.get(nameOf(name))?.spec ?? {};
        return [name, [signerName, usages]];
      }),
    );
    expect(asked).toEqual({
      flanneld: ['kubernetes.io/kube-apiserver-client', ['digital signature', 'client auth']],
      'kube-proxy': ['kubernetes.io/kube-apiserver-client', ['digital signature', 'client auth']],
      'kubelet-client': ['kubernetes.io/kube-apiserver-client-kubelet', ['digital signature', 'client auth']],
      'kubelet-server': ['kubernetes.io/kubelet-serving', ['digital signature', 'server auth']],
    });
    // The proof lies where only it may write: the signed document, and the digests of its keys.
    const proof = JSON.parse(cloud.objects.get('join/requests/AROATESTROLE:i-0123456789abcdef0/request.json') ?? '{}');
    expect(Buffer.from(proof.document, 'base64').toString()).toBe('{"instanceId" : "i-0123456789abcdef0"}');
    expect(proof.signature).toBe('MIAGsigned');
    expect(Object.keys(proof.keys).sort()).toEqual(certificates);
    for (const name of certificates) expect(nameOf(name).endsWith(proof.keys[name].slice(0, 10))).toBe(true);
    for (const name of certificates) await api.approve(nameOf(name));
    const ran = await joining;
    expect(ran, ran.stdout + ran.stderr).toMatchObject({ code: 0 });
    const { root } = machine;
    const client = root.read('/var/lib/kubelet/pki/kubelet-client-current.pem');
    const certificate = new X509Certificate(client);
    expect(certificate.subject).toBe('O=system:nodes\nCN=system:node:i-0123456789abcdef0');
    expect(certificate.publicKey.export({ type: 'spki', format: 'pem' })).toBe(
      publicKeyOf(client.slice(client.indexOf('-----BEGIN PRIVATE'))),
    );
    const server = new X509Certificate(root.read('/etc/slipway/pki/kubelet-server.pem'));
    expect(server.subjectAltName).toBe('DNS:i-0123456789abcdef0, IP Address:172.30.0.70');
    expect(root.read('/etc/slipway/host.env').split('\n')).toEqual(
      expect.arrayContaining([
        'NODE_NAME="i-0123456789abcdef0"',
        'NODE_IP="172.30.0.70"',
        'ZONE="eu-central-1a"',
        'INSTANCE_TYPE="t3.large"',
        'PROVIDER_ID="aws:///eu-central-1a/i-0123456789abcdef0"',
        'NODE_LABELS="slipway.dev/pool=workers,example.com/tier=one"',
        `API_SERVER="${api.url}"`,
      ]),
    );
    expect(root.read('/opt/slipway/kubernetes/1.36.3/kubelet')).toBe('kubernetes/1.36.3/kubelet');
    const started = root.called().find((call) => call.startsWith('systemctl --no-block start -- '));
    expect(started).toMatch(/containerd\.service.*kubelet\.service/);
    expect(root.read('/var/lib/slipway/manifest')).toContain('/etc/slipway/host.env');
    expect(root.read('/var/lib/slipway/joined')).toBe('');
  });

  test('with a date for packages upgrades them before anything else, restarts where they need it, and goes on after that', async () => {
    const dated = await poolMachine(cloud, await publishPool(cloud, api, undefined, '2020-01-01T00:00:00Z'));
    const { root } = dated;
    const installed = `${root.path}/installed`;
    root.write('/installed', 'ii  libc6 1\n');
    for (const name of ['dpkg', 'apt-mark']) root.stub(name, '');
    root.stub('dpkg-query', `cat ${installed}`);
    root.stub('apt-get', `case "$*" in *full-upgrade) echo 'ii  libc6 2' >${installed} ;; esac`);
    const first = await dated.join();
    expect(first.stdout).toContain('restarts: new: libc6 2');
    expect(root.called()).toContain('systemctl --no-block reboot');
    expect([api.requests.size, root.called().some((call) => call.startsWith('systemctl --no-reload'))]).toEqual([0, false]);
    rmSync(`${root.path}/run/slipway`, { recursive: true });
    const joining = dated.join();
    await requested();
    for (const name of certificates) await api.approve(nameOf(name));
    const ran = await joining;
    expect(ran, ran.stdout + ran.stderr).toMatchObject({ code: 0 });
    expect(root.called().filter((call) => call.endsWith('full-upgrade'))).toHaveLength(1);
    root.close();
  });

  test('that is cut between approval and its start goes on with the same keys', async () => {
    const first = machine.join();
    await requested();
    api.deny(nameOf('kube-proxy'), 'no');
    for (const name of certificates.filter((each) => each !== 'kube-proxy')) await api.approve(nameOf(name));
    expect((await first).code).toBe(1);
    const before = [...api.requests.keys()];
    await api.approve(nameOf('kube-proxy'));
    expect(await machine.join()).toMatchObject({ code: 0 });
    expect([...api.requests.keys()]).toEqual(before);
  });

  test('that is refused says why, and starts nothing', async () => {
    const joining = machine.join();
    await requested();
    api.deny(nameOf('kubelet-client'), 'the instance is not of this cluster');
    const ran = await joining;
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain('the instance is not of this cluster');
    expect(machine.root.called().some((call) => call.startsWith('systemctl --no-block start -- '))).toBe(false);
  });

  test('fetches a new token when its own is void', async () => {
    api.token = 'newtok.0123456789abcdef';
    const joining = machine.join();
    await sleep(500);
    cloud.objects.set('join/workers/token', api.token);
    await requested();
    for (const name of certificates) await api.approve(nameOf(name));
    expect(await joining).toMatchObject({ code: 0 });
  });
});
