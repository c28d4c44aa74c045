import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type InitAnswers, renderInit } from '../../../src/config/init.ts';
import { type Asker, collectAnswers } from '../../../src/config/init-answers.ts';
import { writeInit } from '../../../src/config/init-file.ts';
import { loadCluster, readCluster } from '../../../src/config/load.ts';
import { exitCodes } from '../../../src/errors.ts';

const answers: InitAnswers = {
  name: 'demo',
  provider: 'local',
  zones: ['a', 'b', 'c'],
  masters: 3,
  etcd: 3,
  workers: 3,
  version: '1.36.3',
};
const root = join(import.meta.dirname, '../../..');
const place = (): { cwd: string; file: string; force: boolean; schema: string; packageRoot: string } => ({
  cwd: mkdtempSync(join(tmpdir(), 'slipway-init-')),
  file: 'cluster.yaml',
  force: false,
  schema: join(root, 'schema/cluster.schema.json'),
  packageRoot: root,
});

describe('the file that init writes', () => {
  test('is valid for every number of zones and machines, and fixes the slots of its zones', () => {
    const zones = fc.integer({ min: 1, max: 16 }).map((n) => 'abcdefghijklmnop'.slice(0, n).split(''));
    fc.assert(
      fc.property(
        zones,
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 100 }),
        (names, masters, etcd, workers) => {
          const { cluster } = readCluster(renderInit({ ...answers, zones: names, masters, etcd, workers }));
          expect(cluster).toMatchObject({
            zones: names,
            masters: { count: masters },
            etcd: { count: etcd },
            pools: [{ count: workers }],
          });
          expect(cluster.network.zoneSlots).toEqual(Object.fromEntries(names.map((name, i) => [name, i])));
        },
      ),
      { numRuns: 50 },
    );
  });
  test('knows its clouds', () => {
    const sshFrom = ['203.0.113.0/24', '198.51.100.7/32'];
    const zones = ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'];
    const amazon = readCluster(renderInit({ ...answers, provider: 'aws', zones, sshFrom }));
    expect(amazon.findings).toEqual([]);
    expect(amazon.cluster.bastion.allowedCidrs).toEqual(sshFrom);
    const google = readCluster(
      renderInit({
        ...answers,
        provider: 'gcp',
        project: 'my-project',
        zones: ['europe-west3-a', 'europe-west3-b', 'europe-west3-c'],
        sshFrom,
      }),
    );
    expect(google.cluster.provider.gcp).toEqual({ project: 'my-project', region: 'europe-west3' });
  });
  test('begins with its schema, for editors', () =>
    expect(renderInit({ ...answers, schema: './s.json' })).toMatch(/^# yaml-language-server: \$schema=\.\/s\.json\n/));
});

describe('answers', () => {
  test('flags are enough where there is no terminal', async () =>
    expect(await collectAnswers({ name: 'demo' }, undefined)).toEqual(answers));
  test('a missing answer without a terminal names its flag', async () => {
    await expect(collectAnswers({}, undefined)).rejects.toMatchObject({
      exitCode: exitCodes.usage,
      problem: { what: expect.stringContaining('--name') },
    });
    await expect(collectAnswers({ name: 'x', provider: 'aws' }, undefined)).rejects.toMatchObject({
      problem: { what: expect.stringContaining('--zones') },
    });
    await expect(collectAnswers({ name: 'x', provider: 'gcp', zones: 'europe-west3-a' }, undefined)).rejects.toMatchObject({
      problem: { what: expect.stringContaining('--project') },
    });
    await expect(collectAnswers({ name: 'x', provider: 'aws', zones: 'eu-west-1a' }, undefined)).rejects.toMatchObject({
      problem: { what: expect.stringContaining('--ssh-from') },
    });
  });
  test('a cloud is told from where SSH may come: ranges, or addresses', async () => {
    const given = { name: 'x', provider: 'aws', zones: 'eu-west-1a' };
    expect(await collectAnswers({ ...given, 'ssh-from': '203.0.113.0/24,198.51.100.7' }, undefined)).toMatchObject({
      sshFrom: ['203.0.113.0/24', '198.51.100.7/32'],
    });
    await expect(collectAnswers({ ...given, 'ssh-from': 'home' }, undefined)).rejects.toMatchObject({
      problem: { what: expect.stringContaining('must be an IPv4 range') },
    });
  });
  test('a bad flag is refused with what it must be', async () =>
    expect(collectAnswers({ name: 'A B' }, undefined)).rejects.toMatchObject({
      exitCode: exitCodes.usage,
      problem: { what: expect.stringContaining('must be a DNS label') },
    }));
  test('on a terminal only what no flag says is asked', async () => {
    const asked: string[] = [];
    const asker: Asker = {
      text: async (message, options) => {
        asked.push(message);
        return options.default ?? 'typed';
      },
      one: async (message, _, byDefault) => {
        asked.push(message);
        return byDefault;
      },
    };
    const got = await collectAnswers({ provider: 'local', masters: 1 }, asker);
    expect(got).toMatchObject({ name: 'typed', masters: 1, zones: ['a', 'b', 'c'] });
    expect(asked.join(' ')).not.toMatch(/Masters|Provider/);
  });
});

describe('writing', () => {
  test('the file is valid, and its schema lies beside it', async () => {
    const to = place();
    await writeInit(answers, to);
    expect((await loadCluster(join(to.cwd, 'cluster.yaml'))).cluster.name).toBe('demo');
    const [, schema = ''] = /\$schema=(\S+)/.exec(readFileSync(join(to.cwd, 'cluster.yaml'), 'utf8')) ?? [];
    expect(JSON.parse(readFileSync(join(to.cwd, schema), 'utf8'))).toHaveProperty('properties.pools');
  });
  test('in a tree with Slipway, the schema is named where it lies', async () => {
    const to = place();
    const packageRoot = join(to.cwd, 'node_modules/slipway');
    mkdirSync(packageRoot, { recursive: true });
    const { text } = await writeInit(answers, { ...to, packageRoot, schema: join(packageRoot, 'schema/cluster.schema.json') });
    expect(text).toContain('$schema=./node_modules/slipway/schema/cluster.schema.json');
  });
  test('a file that is there is replaced only with --force', async () => {
    const to = place();
    writeFileSync(join(to.cwd, 'cluster.yaml'), 'mine');
    await expect(writeInit(answers, to)).rejects.toMatchObject({
      exitCode: exitCodes.usage,
      problem: { next: expect.stringContaining('--force') },
    });
    expect(readFileSync(join(to.cwd, 'cluster.yaml'), 'utf8')).toBe('mine');
    await writeInit(answers, { ...to, force: true });
    expect(readFileSync(join(to.cwd, 'cluster.yaml'), 'utf8')).toContain('name: demo');
  });
  test('answers that make no cluster write nothing', async () => {
    const to = place();
    await expect(writeInit({ ...answers, version: '1.2.3' }, to)).rejects.toMatchObject({
      exitCode: exitCodes.usage,
      problem: { why: expect.stringContaining('1.2.3') },
    });
    await expect(loadCluster(join(to.cwd, 'cluster.yaml'))).rejects.toThrow('no such file');
  });
});
