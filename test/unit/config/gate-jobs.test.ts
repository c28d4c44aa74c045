import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigError, loadCluster } from '../../../src/config/load.ts';

const dir = mkdtempSync(join(tmpdir(), 'gate-jobs-'));
const file = join(dir, 'cluster.yaml');
const job = (image: string): string =>
  `apiVersion: batch/v1\nkind: Job\nmetadata: { name: smoke, namespace: web }\nspec: { template: { spec: { restartPolicy: Never, containers: [{ name: a, image: ${image} }] } } }\n`;
const load = (entry: string, text?: string) => {
  if (text !== undefined) writeFileSync(join(dir, entry), text);
  writeFileSync(
    file,
    `apiVersion: slipway/v1\nkind: Cluster\nname: demo\nprovider: { local: {} }\nzones: [a]\nupgrade:\n  gates:\n    - name: other\n      command: "true"\n    - name: smoke\n      job: ${entry}\n`,
  );
  return loadCluster(file);
};
const findingsOf = (entry: string, text?: string): Promise<readonly string[]> =>
  load(entry, text).then(
    () => [],
    (error: unknown) => {
      if (!(error instanceof ConfigError)) throw error;
      return error.findings.map(({ where, what }) => `${where?.replace(`${dir}/`, '')} ${what}`);
    },
  );

test('the Job of a gate is read with the cluster, by the name of its gate', async () => {
  const { gateJobs } = await load('smoke.yaml', job('a:1'));
  expect([...gateJobs]).toMatchObject([['smoke', { kind: 'Job', metadata: { name: 'smoke', namespace: 'web' } }]]);
});

test('another Job is another cluster: a plan made for the one is not carried out with the other', async () => {
  const before = (await load('smoke.yaml', job('a:1'))).digest;
  expect((await load('smoke.yaml', job('a:1'))).digest).toBe(before);
  expect((await load('smoke.yaml', job('a:2'))).digest).not.toBe(before);
});

describe('what is no Job is refused, with its place', () => {
  test.each([
    ['a file that is not there', 'none.yaml', undefined, 'cluster.yaml:11:12 The manifest none.yaml is not there'],
    [
      'another kind',
      'pod.yaml',
      'apiVersion: v1\nkind: Pod\nmetadata: { name: p }\n',
      'cluster.yaml:11:12 pod.yaml holds a Pod of v1',
    ],
    [
      'two of them',
      'two.yaml',
      `${job('a')}---\n${job('a').replace('smoke', 'more')}`,
      'cluster.yaml:11:12 two.yaml holds 2 objects',
    ],
    ['nothing', 'empty.yaml', '# none\n', 'cluster.yaml:11:12 empty.yaml holds 0 objects'],
    [
      'one without pods',
      'bare.yaml',
      'apiVersion: batch/v1\nkind: Job\nmetadata: { name: j }\n',
      'cluster.yaml:11:12 The Job in bare.yaml has no spec.template',
    ],
    [
      'one without containers',
      'hollow.yaml',
      'apiVersion: batch/v1\nkind: Job\nmetadata: { name: j }\nspec: { template: { spec: { restartPolicy: Never } } }\n',
      'cluster.yaml:11:12 The Job in hollow.yaml has no containers',
    ],
    [
      'one that the API would refuse after the first turn',
      'always.yaml',
      job('a').replace('Never', 'Always'),
      'cluster.yaml:11:12 The Job in always.yaml has no restartPolicy of a Job',
    ],
    ['no YAML', 'bad.yaml', 'kind: {', /^bad\.yaml:\d+ Not valid YAML/],
  ])('%s', async (_, entry, text, expected) => {
    const [found, ...more] = await findingsOf(entry, text);
    expect(found).toMatch(expected);
    expect(more).toEqual([]);
  });
  test('a directory of several', async () => {
    mkdirSync(join(dir, 'jobs'));
    for (const name of ['a', 'b']) writeFileSync(join(dir, 'jobs', `${name}.yaml`), job('a'));
    expect(await findingsOf('jobs')).toEqual([expect.stringContaining('jobs holds 2 objects; gate smoke is one Job')]);
  });
});
