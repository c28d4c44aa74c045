import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// What a command loads is what it costs before it does anything: these run the built command, as a user does.
const heavy =
  /node_modules\/(dockerode|ssh2|@peculiar|@kubernetes|age-encryption|reflect-metadata|listr2|@inquirer|tar-stream)\//;
let directory: string;
beforeAll(() => {
  if (!existsSync('dist/src/commands') || !existsSync('oclif.manifest.json')) throw new Error('not built. Next: npm run build');
  directory = mkdtempSync(join(tmpdir(), 'slipway-startup-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const loadedBy = (...args: readonly string[]) => {
  const list = join(directory, args.join('-').replaceAll('/', '_'));
  const result = spawnSync(process.execPath, ['--import', './test/unit/cli/loaded.mjs', 'bin/cluster.js', ...args], {
    encoding: 'utf8',
    env: { ...process.env, NODE_ENV: 'production', LOADED_MODULES: list },
  });
  const modules = readFileSync(list, 'utf8')
    .trim()
    .split('\n')
    .filter((url) => url.startsWith('file:'));
  return { ...result, modules, own: modules.filter((url) => /\/dist\/(src|providers)\//.test(url)) };
};

describe('what is loaded', () => {
  it('by --help: no command, nothing of ours', () => {
    const { status, stdout, modules, own } = loadedBy('--help');
    expect(status).toBe(0);
    expect(stdout).toContain('COMMANDS');
    expect(modules.length).toBeGreaterThan(10);
    expect(own).toEqual([]);
    expect(modules.filter((url) => heavy.test(url))).toEqual([]);
  });
  it("by a command's --help: nothing heavy", () => {
    const { status, modules } = loadedBy('up', '--help');
    expect(status).toBe(0);
    expect(modules.filter((url) => heavy.test(url))).toEqual([]);
  });
  it('by validate: no provider, nothing that talks to the world', () => {
    const { status, modules, own } = loadedBy('validate', '-f', 'examples/local/cluster.yaml');
    expect(status).toBe(0);
    expect(modules.filter((url) => heavy.test(url))).toEqual([]);
    expect(own.filter((url) => /\/dist\/(providers|src\/(host|kube|etcd|pki|store|lifecycle))\//.test(url))).toEqual([]);
  });
});

describe('a word that is no command', () => {
  it('is wrong usage, with the command that was meant', () => {
    const { status, stdout, stderr } = loadedBy('plna');
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
    expect(stderr).toContain('Did you mean `cluster plan`?');
  });
});
