import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { renderUserData, type UserDataSpec } from '../../../providers/aws/user-data.ts';
import { FakeRoot } from '../../support/aws/fake-root.ts';
import { type MachineCloud, startMachineCloud } from '../../support/aws/machine-cloud.ts';

const spec: UserDataSpec = {
  cluster: 'demo',
  region: 'eu-central-1',
  bucket: 'store',
  role: 'etcd',
  roleId: 'AROATESTROLE',
  authorizedKey: 'ssh-ed25519 AAAATEST slipway',
  machine: { name: 'etcd-a' },
};
const pool = { pool: 'workers', bundle: { key: 'pools/workers/abc.tar', digest: 'a'.repeat(64) } };

describe('user data', () => {
  test('of every kind of machine fits into EC2’s 16 KB, asks AWS’s own addresses, and holds no secret', () => {
    for (const machine of [{ name: 'etcd-a' }, pool]) {
      const text = renderUserData({ ...spec, machine });
      expect(Buffer.byteLength(text)).toBeLessThan(16_384);
      expect(text).toContain('METADATA_URL=http://169.254.169.254\n');
      expect(text).toContain('STORE_URL=https://store.s3.eu-central-1.amazonaws.com\n');
      expect(text).not.toMatch(/\{\{|PRIVATE KEY/);
    }
  });
  test('that would be larger is refused, not cut', () => {
    expect(() => renderUserData({ ...spec, authorizedKey: 'x'.repeat(16_000) })).toThrow(/EC2 takes 16384/);
  });
});

describe('a machine’s first boot', () => {
  let cloud: MachineCloud;
  let root: FakeRoot;
  beforeEach(async () => {
    cloud = await startMachineCloud();
    root = new FakeRoot();
  });
  afterEach(() => {
    cloud.close();
    root.close();
  });
  const boot = async (given: Partial<UserDataSpec> = {}) => {
    const text = renderUserData({ ...spec, ...given, endpoints: { s3: cloud.url, metadata: cloud.url } });
    const installed = await root.run(text);
    expect(installed, installed.stderr).toMatchObject({ code: 0 });
    return root.run(root.read('/usr/local/sbin/slipway-boot'));
  };

  test('installs a unit that starts with it and with every boot after', async () => {
    await boot();
    expect(root.called()).toEqual(
      expect.arrayContaining([
        'systemctl enable --quiet slipway-boot.service',
        'systemctl --no-block start slipway-boot.service',
      ]),
    );
    expect(root.read('/etc/systemd/system/slipway-boot.service')).toContain('Restart=on-failure');
  });
  test('publishes its SSH host key where only its identity may write, by signed requests that S3 accepts', async () => {
    const ran = await boot();
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const key = root.read('/etc/ssh/ssh_host_ed25519_key.pub').split(' ').slice(0, 2).join(' ');
    expect(key).toMatch(/^ssh-ed25519 AAAA/);
    expect(cloud.objects.get('hosts/AROATESTROLE:i-0123456789abcdef0/host-key')).toBe(`${key}\n`);
  });
  test('keeps its host key over later boots, and its facts up to date', async () => {
    await boot();
    const key = root.read('/etc/ssh/ssh_host_ed25519_key');
    cloud.metadata.set('meta-data/instance-type', 'm6i.large');
    await boot();
    expect(root.read('/etc/ssh/ssh_host_ed25519_key')).toBe(key);
    expect(root.read('/etc/slipway/machine.env').split('\n')).toEqual([
      'CLUSTER="demo"',
      'ROLE="etcd"',
      'NAME="etcd-a"',
      'POOL=""',
      'ROLE_ID="AROATESTROLE"',
      'INSTANCE_ID="i-0123456789abcdef0"',
      'INSTANCE_TYPE="m6i.large"',
      'ZONE="eu-central-1a"',
      'REGION="eu-central-1"',
      'ADDRESS="172.30.0.70"',
      'PROVIDER_ID="aws:///eu-central-1a/i-0123456789abcdef0"',
      '',
    ]);
  });
  test('lets in the cluster’s key as root and nobody else; only the bastion forwards', async () => {
    await boot();
    expect(root.read('/etc/ssh/slipway_authorized_keys')).toBe('ssh-ed25519 AAAATEST slipway\n');
    expect(root.read('/etc/ssh/sshd_config.d/00-slipway.conf')).toContain('AllowTcpForwarding no');
    expect(root.called()).toEqual(expect.arrayContaining(['hostname etcd-a', 'usermod -p * root']));
    await boot({ role: 'bastion', machine: { name: 'bastion' } });
    expect(root.read('/etc/ssh/sshd_config.d/00-slipway.conf')).toContain('AllowTcpForwarding yes');
  });
  test('fails, to be tried again, while the metadata gives no answer', async () => {
    cloud.close();
    root.stub('curl', 'exit 7');
    const ran = await boot();
    expect(ran.code).not.toBe(0);
    expect(ran.stdout).toContain('the instance metadata gives no answer');
  });
  test('of a pool has its instance ID as its name, and takes no bundle but the one that its launch template names', async () => {
    cloud.objects.set('pools/workers/abc.tar', 'something else');
    const ran = await boot({ role: 'worker', machine: pool });
    expect(ran.code).not.toBe(0);
    expect(ran.stdout).toContain('is not what the launch template says');
    expect(root.called()).toContain('hostname i-0123456789abcdef0');
  });
  test('never puts a credential or a token into the arguments of a program', async () => {
    root.stub('curl', 'exec /usr/bin/curl "$@"');
    await boot();
    const seen = root.called().join('\n');
    expect(seen).toContain('curl --config -');
    expect(seen).not.toMatch(/imds-session-token|ASIATESTKEY|secret\/|session\/\//);
  });
});
