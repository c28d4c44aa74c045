import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { script } from '../../../src/host/scripts.ts';
import { FakeRoot } from '../../support/aws/fake-root.ts';

const since = '2020-01-01T00:00:00Z';

describe("the script that upgrades a host's packages", () => {
  let root: FakeRoot;
  beforeEach(() => {
    root = new FakeRoot({ uname: 'echo 6.1.0-1', dpkg: '', 'apt-mark': '' });
    versions('libc6 1');
    apt('');
  });
  afterEach(() => root.close());
  /** What dpkg-query says of what the system stands on. */
  const versions = (...lines: readonly string[]): void => root.write('/installed', lines.map((line) => `ii  ${line}\n`).join(''));
  /** What `apt-get full-upgrade` does. */
  const apt = (fullUpgrade: string): void => {
    root.stub('dpkg-query', `cat ${root.path}/installed`);
    root.stub('apt-get', `case "$*" in *full-upgrade) ${fullUpgrade || ':'} ;; esac`);
  };
  const upgrade = async (from = since, generation = 0) =>
    root.run(await script('packages'), ['upgrade', from, String(generation)]);
  const calls = (word: string): number =>
    root.called().filter((call) => call.startsWith('apt-get') && call.endsWith(word)).length;
  const rebooted = (): void => {
    rmSync(join(root.path, 'run'), { recursive: true });
    mkdirSync(join(root.path, 'run'));
  };

  test('upgrades once for a date, keeping configuration files, and not again', async () => {
    const first = await upgrade();
    expect(first, first.stdout + first.stderr).toMatchObject({ code: 0 });
    expect(first.stdout).toMatch(/^boot \S+:\d+$/m);
    expect(first.stdout).not.toContain('reboot');
    expect(root.called()).toContain('dpkg --force-confdef --force-confold --configure -a');
    expect(root.called().find((call) => call.endsWith('full-upgrade'))).toContain('--force-confold -y -q full-upgrade');
    const [at, asked] = root.read('/var/lib/slipway/packages').trim().split(' ');
    expect([asked, String(at) > since]).toEqual([since, true]);
    await upgrade();
    expect(calls('full-upgrade')).toBe(1);
    // What was done then is good for any date before it.
    await upgrade('2020-06-01T00:00:00Z');
    expect(calls('full-upgrade')).toBe(1);
  });

  test('a new libc wants a restart, said until there was one, and then no more', async () => {
    apt(`echo 'ii  libc6 2' >${root.path}/installed`);
    expect((await upgrade()).stdout).toMatch(/^reboot new: libc6 2$/m);
    expect((await upgrade()).stdout).toMatch(/^reboot new: libc6 2$/m);
    expect(calls('full-upgrade')).toBe(1);
    rebooted();
    expect((await upgrade()).stdout).not.toContain('reboot');
  });

  test('cut after the packages and before anything was noted: the next run knows what this boot began with', async () => {
    apt(`echo 'ii  libc6 2' >${root.path}/installed; kill -9 $PPID`);
    expect((await upgrade()).code).not.toBe(0);
    apt('');
    expect((await upgrade()).stdout).toMatch(/^reboot new: libc6 2$/m);
  });

  test('a package that asks for it, and a kernel that does not run yet, want one too; a kernel of somebody else does not', async () => {
    root.write('/boot/vmlinuz-6.1.0-9', '');
    expect((await upgrade()).stdout).not.toContain('reboot');
    rmSync(join(root.path, 'var/lib/slipway'), { recursive: true });
    root.write('/boot/vmlinuz-6.1.0-1', '');
    root.write('/boot/vmlinuz-6.1.0-10', '');
    apt(`: >${root.path}/run/reboot-required`);
    expect((await upgrade()).stdout).toMatch(
      /reboot a package asks for it .*; kernel 6\.1\.0-10 is installed, and 6\.1\.0-1 runs/,
    );
  });

  test("waits for another program's lock, and goes on", async () => {
    apt(
      `[ -e ${root.path}/second ] || { : >${root.path}/second; echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)'; exit 100; }`,
    );
    expect((await upgrade()).code).toBe(0);
    expect(calls('full-upgrade')).toBe(2);
  });

  test("a package that fails is told in dpkg's words, and noted as not done", async () => {
    apt(
      `printf '%s\\n' 'Setting up tool (2.0) ...' 'no room' 'dpkg: error processing package tool (--configure):' 'E: Sub-process dpkg returned an error code (1)'; exit 100`,
    );
    const failed = await upgrade();
    expect(failed.code).toBe(1);
    expect(failed.stdout).toMatch(
      /failed apt-get full-upgrade: Setting up tool \(2\.0\) \.\.\.\nno room\ndpkg: error processing package tool/,
    );
    // What it has left half done is tried first, and may stay so: the next packages may mend it.
    root.stub('dpkg', 'exit 1');
    apt('');
    expect((await upgrade()).code).toBe(0);
  });

  test('a mirror that does not answer is 6; a machine whose clock is behind, and a holder of an older lock, change nothing', async () => {
    root.stub('apt-get', `case "$*" in *update) echo 'E: Failed to fetch http://mirror/'; exit 100 ;; esac`);
    expect(await upgrade()).toMatchObject({ code: 6, stdout: 'failed E: Failed to fetch http://mirror/\n' });
    apt('');
    expect(await upgrade('2999-01-01T00:00:00Z')).toMatchObject({ code: 1 });
    root.write('/var/lib/slipway/generation', '7\n');
    expect(await upgrade(since, 6)).toMatchObject({ code: 3 });
    expect(calls('full-upgrade')).toBe(0);
  });
});
