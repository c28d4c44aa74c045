import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { root } from '../support/cli.ts';

/** What somebody gets who installs the package: without this checkout, its development dependencies or its sources. */
const directory = mkdtempSync(join(tmpdir(), 'slipway-package-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const npm = (args: readonly string[], cwd: string): string =>
  execFileSync('npm', [...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
const cluster = (...args: string[]) =>
  spawnSync(process.execPath, [join(directory, 'node_modules/.bin/cluster'), ...args], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, XDG_STATE_HOME: join(directory, 'state'), XDG_CONFIG_HOME: join(directory, 'config'), NO_COLOR: '1' },
  });

describe('the packed npm tarball', () => {
  test('installs elsewhere, and its commands run there', { timeout: 180_000 }, () => {
    // From a copy: packing builds, and other files' clusters run the commands that were built here.
    const copy = join(directory, 'checkout');
    mkdirSync(copy);
    for (const name of readdirSync(root).filter((each) => !['.git', 'dist', 'node_modules'].includes(each)))
      cpSync(join(root, name), join(copy, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    npm(['pack', '--pack-destination', directory], copy);
    const [tarball = ''] = readdirSync(directory).filter((file) => file.endsWith('.tgz'));
    writeFileSync(join(directory, 'package.json'), '{ "private": true }');
    npm(['install', '--no-audit', '--no-fund', '--omit=dev', join(directory, tarball)], directory);
    const help = cluster('--help');
    expect(help.status).toBe(0);
    for (const command of ['up', 'plan', 'down', 'status', 'preflight', 'kubeconfig']) expect(help.stdout).toContain(command);
    expect(cluster('init', '--name', 'packed', '--provider', 'local', '--zones', 'a,b,c', '--workers', '3').status).toBe(0);
    expect(cluster('validate').status).toBe(0);
    const piped = spawnSync('bash', [
      '-c',
      'set -o pipefail; "$0" --help | head -n 1',
      join(directory, 'node_modules/.bin/cluster'),
    ]);
    expect({ status: piped.status, said: String(piped.stderr) }).toEqual({ status: 0, said: '' });
    // Reaches Docker through dockerode, reads its templates, and designs everything: what the sources do, the package does.
    const plan = cluster('plan', '-o', 'json');
    expect(plan.stderr).not.toContain('Bug');
    expect(JSON.parse(plan.stdout).changes.length).toBeGreaterThan(100);
  });
});
