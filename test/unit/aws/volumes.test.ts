import { execFileSync } from 'node:child_process';
import { existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { renderUserData } from '../../../providers/aws/user-data.ts';
import { render } from '../../../src/components/template.ts';
import { FakeRoot } from '../../support/aws/fake-root.ts';
import { type MachineCloud, startMachineCloud } from '../../support/aws/machine-cloud.ts';

const id = 'vol-0abc';
const device = '/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0abc';
const megabytes = 8 * 1024 * 1024;

let cloud: MachineCloud;
let root: FakeRoot;
beforeEach(async () => {
  cloud = await startMachineCloud();
  // Files serve as disks: blkid, e2fsck and mkfs are the real ones; only mounting is left out.
  root = new FakeRoot({ mount: '', mountpoint: 'exit 1', resize2fs: '' });
  await root.run(
    renderUserData({
      cluster: 'demo',
      region: 'eu-central-1',
      bucket: 'store',
      role: 'etcd',
      roleId: 'AROATESTROLE',
      authorizedKey: 'ssh-ed25519 AAAA',
      machine: { name: 'etcd-a' },
      endpoints: { s3: cloud.url, metadata: cloud.url },
    }),
  );
  root.write('/etc/slipway/host.env', `NODE_NAME="etcd-a"\nVOLUME_MAIN="${id}"\n`);
});
afterEach(() => {
  cloud.close();
  root.close();
});

const attach = (): string => {
  root.write(device, new Uint8Array(megabytes));
  return join(root.path, device);
};
const mountVolumes = () => root.run(render('config/volumes-aws.sh', { patience: 1 }));
const typeOf = (file: string): string => {
  try {
    return execFileSync('/usr/sbin/blkid', ['-p', '-o', 'value', '-s', 'TYPE', file], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
};
const mounted = (): boolean => root.called().some((call) => call.startsWith('mount -t ext4'));

describe('an etcd volume', () => {
  test('that is new gets a file system, is recorded as used, and is mounted', async () => {
    const file = attach();
    const ran = await mountVolumes();
    expect(ran, ran.stdout + ran.stderr).toMatchObject({ code: 0 });
    expect(typeOf(file)).toBe('ext4');
    expect(cloud.objects.get(`volumes/${id}`)).toBe('etcd-a main\n');
    expect(root.called()).toContain(`mount -t ext4 -o noatime,nodev,nosuid,noexec ${file} ${root.path}/var/lib/etcd-main`);
  });
  test('that has its file system is mounted as it is, also when the record was lost', async () => {
    const file = attach();
    await mountVolumes();
    const before = readFileSync(file);
    cloud.objects.clear();
    expect(await mountVolumes()).toMatchObject({ code: 0 });
    expect(readFileSync(file).subarray(0, 65_536).equals(before.subarray(0, 65_536))).toBe(true);
    expect(cloud.objects.has(`volumes/${id}`)).toBe(true);
  });
  test('that was recorded and looks empty is left as it is: it is lost, not new', async () => {
    const file = attach();
    cloud.objects.set(`volumes/${id}`, 'etcd-a main\n');
    const ran = await mountVolumes();
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain('the store says that it was in use');
    expect(typeOf(file)).toBe('');
    expect(mounted()).toBe(false);
  });
  test('gets no file system while the store cannot be asked', async () => {
    const file = attach();
    cloud.fail = 403;
    const ran = await mountVolumes();
    expect(ran.code).toBe(1);
    expect(ran.stdout).toContain('the store gives no answer');
    expect(typeOf(file)).toBe('');
  });
  test('gets none where anything lies that blkid does not know', async () => {
    const file = attach();
    writeSync(openSync(file, 'r+'), 'a write-ahead log', 700_000);
    expect((await mountVolumes()).stdout).toContain('holds something that blkid does not know');
    expect(typeOf(file)).toBe('');
  });
  test('with another kind of file system is not ours', async () => {
    const file = attach();
    execFileSync('/usr/sbin/mkswap', [file], { stdio: 'ignore' });
    expect((await mountVolumes()).stdout).toContain(`volume ${id} (main) holds swap: not ours`);
    expect(mounted()).toBe(false);
  });
  test('that is not attached is waited for, and then said', async () => {
    const ran = await mountVolumes();
    expect(ran.stdout).toMatch(/volume vol-0abc \(main\) is not attached/);
    expect(existsSync(join(root.path, 'var/lib/etcd-main'))).toBe(false);
  });
});
