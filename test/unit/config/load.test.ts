import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { knownKubernetes } from '../../../src/assets/catalogue.ts';
import { isBech32 } from '../../../src/config/bech32.ts';
import { ConfigError, loadCluster, readCluster } from '../../../src/config/load.ts';
import { explainReadError } from '../../../src/config/read.ts';
import { componentVersions, isOlder, kubernetesVersions, oldestEtcd } from '../../../src/config/versions.ts';
import { UserError } from '../../../src/errors.ts';

const root = join(import.meta.dirname, '../../..');
const examples = readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' }).filter((name) =>
  /cluster.*\.yaml$|local\/.*\.yaml$/.test(name),
);
const minimal = 'apiVersion: slipway/v1\nkind: Cluster\nname: demo\nprovider: { local: {} }\nzones: [a, b, c]\n';
const directory = mkdtempSync(join(tmpdir(), 'slipway-config-'));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const refusal = async (path: string): Promise<string> => {
  const error: unknown = await loadCluster(path).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${String(error)}`);
  expect(error.exitCode).toBe(65);
  expect(error.findings.every(({ where }) => where !== undefined)).toBe(true);
  return error.message;
};

describe('examples', () => {
  test('there are some', () => expect(examples.length).toBeGreaterThanOrEqual(3));
  test.each(examples)('%s is valid, without warnings but for what has no effect yet', async (name) => {
    expect(
      (await loadCluster(join(root, 'examples', name))).findings.filter(({ check }) => check !== 'config.no-effect'),
    ).toEqual([]);
  });
});

describe('keys that this version does not act on', () => {
  const base = 'apiVersion: slipway/v1\nkind: Cluster\nname: demo\nprovider: { local: {} }\nzones: [a]\n';
  const unused = (text: string) => readCluster(text).findings.filter(({ check }) => check === 'config.no-effect');
  test('are warned about where a person wrote them', () => {
    expect(
      unused(
        `${base}backup: { keep: 3, schedule: "0 3 * * *" }\npools:\n  - name: w\n    count: 1\n    upgrade: { strategy: replace }\n`,
      ),
    ).toMatchObject([
      { severity: 'warning', where: expect.stringMatching(/:6:/), what: expect.stringMatching(/^backup\.schedule /) },
    ]);
    expect(unused(`${base}backup: { keep: 3, maxAge: 1h }\n`)).toEqual([]);
    expect(unused(`${base}network: { plugin: none }\naddons: { manifests: [a.yaml] }\n`)).toEqual([]);
  });
  test('and not where they are only defaults', () => {
    expect(unused(`${base}pools:\n  - name: w\n    count: 1\n`)).toEqual([]);
  });
});

test('ten lines make a highly available cluster', async () => {
  const { cluster } = await loadCluster(join(root, 'examples/local/cluster.yaml'));
  expect(cluster).toMatchObject({
    etcd: { count: 3, events: true },
    masters: { count: 3 },
    pools: [{ name: 'workers', count: 3 }],
    kubernetes: { version: '1.36.3' },
  });
});

describe('the digest', () => {
  test('is the same for files that mean the same', () => {
    const other = `# a comment\nzones:\n  - a\n  - b\n  - "c"\nprovider:\n  local: { apiPort: 0 }\nname: demo\nkind: Cluster\napiVersion: slipway/v1\netcd: { count: 3 }\n`;
    expect(readCluster(other).digest).toBe(readCluster(minimal).digest);
    expect(readCluster(minimal).digest).toMatch(/^[0-9a-f]{64}$/);
  });
  test('differs for files that do not', () =>
    expect(readCluster(`${minimal}etcd: { count: 5 }\n`).digest).not.toBe(readCluster(minimal).digest));
});

test('machine types default by provider', () => {
  const { cluster } = readCluster(
    'apiVersion: slipway/v1\nkind: Cluster\nname: demo\nprovider: { aws: { region: eu-central-1 } }\nzones: [eu-central-1a]\nbastion: { allowedCidrs: [203.0.113.0/24] }\netcd: { count: 1 }\npools: [{ name: w, count: 1 }, { name: x, count: 1, machine: { type: m7i.xlarge } }]\n',
  );
  expect([cluster.bastion, cluster.etcd, cluster.masters, ...cluster.pools].map(({ machine }) => machine.type)).toEqual([
    't3.micro',
    't3.medium',
    't3.large',
    't3.large',
    'm7i.xlarge',
  ]);
});

describe('files that are none', () => {
  test('a missing file says how to make one', async () =>
    expect(await refusal(join(directory, 'nope.yaml'))).toContain('cluster init'));
  test('a directory', async () => expect(await refusal(directory)).toContain('This is a directory'));
  test('a binary file', async () => expect(await refusal(file('binary', new Uint8Array([97, 0, 98])))).toContain('binary file'));
  test('bytes that are not UTF-8', async () =>
    expect(await refusal(file('latin1', new Uint8Array([97, 58, 0xe4, 10])))).toContain('not UTF-8'));
  test('UTF-16', async () => expect(await refusal(file('utf16', Buffer.from('\ufeffname: x', 'utf16le')))).toContain('UTF-16'));
  test('more than 1 MiB', async () =>
    expect(await refusal(file('large', `# ${'x'.repeat(1024 * 1024)}`))).toContain('at most 1048576'));
  test('a device and a pipe', async () => {
    expect(await refusal('/dev/zero')).toContain('not a regular file');
    const pipe = join(directory, 'pipe');
    spawnSync('mkfifo', [pipe]);
    expect(await refusal(pipe)).toContain('not a regular file');
  });
  test('a link to itself', async () => {
    const link = join(directory, 'loop');
    symlinkSync(link, link);
    expect(await refusal(link)).toContain('leads back to itself');
  });
  test('no permission', async () => {
    const path = file('secret.yaml', minimal);
    chmodSync(path, 0);
    // root reads everything: there the system's answer is made up.
    const message =
      process.getuid?.() === 0
        ? explainReadError(Object.assign(new Error('EACCES'), { code: 'EACCES' })).what
        : await refusal(path);
    expect(message).toContain('may not read the file');
  });
  test('a byte order mark and CRLF are taken', async () => {
    expect((await loadCluster(file('windows.yaml', `\ufeff${minimal.replaceAll('\n', '\r\n')}`))).cluster.name).toBe('demo');
  });
});

test('manifests are looked for beside the file', async () => {
  mkdirSync(join(directory, 'm'), { recursive: true });
  file('m/app.yaml', '');
  expect(
    (await loadCluster(file('with.yaml', `${minimal}addons: { manifests: [m/app.yaml] }\n`))).cluster.addons.manifests,
  ).toEqual(['m/app.yaml']);
  expect(await refusal(file('without.yaml', `${minimal}addons: { manifests: [m/no.yaml] }\n`))).toMatch(
    /without\.yaml:6:23: The manifest m\/no\.yaml is not there/,
  );
});

test('the versions known to config are those of the catalogue', () => {
  expect(kubernetesVersions).toEqual(knownKubernetes);
  for (const version of componentVersions.etcd) expect(isOlder(version, oldestEtcd)).toBe(false);
});

test('age recipients are checked by their checksum', () => {
  expect(isBech32('age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p', 'age')).toBe(true);
  expect(isBech32('age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q', 'age')).toBe(false);
});

describe('whatever the text, there is a cluster or a ConfigError', () => {
  const survives = (text: string): void => {
    try {
      readCluster(text);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  };
  test('arbitrary text', () => fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), survives), { numRuns: 300 }));
  test('text that looks like YAML', () => {
    const piece = fc.constantFrom(
      'a',
      'zones',
      'pools',
      'provider',
      ':',
      ': ',
      '\n',
      '  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '&a ',
      '*a',
      '!!map ',
      '? ',
      '|\n',
      '"',
      "'",
      '#',
      '<<',
      '---\n',
      '%YAML 1.1\n',
      '\t',
      '__proto__',
      'constructor',
      'null',
      '1',
      '~',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => survives(pieces.join(''))),
      { numRuns: 1000 },
    );
  });
  test('valid files with one value replaced by any JSON', () => {
    const keys = [
      'name',
      'provider',
      'zones',
      'network',
      'kubernetes',
      'etcd',
      'masters',
      'bastion',
      'pools',
      'backup',
      'secrets',
      'addons',
      'assets',
    ];
    fc.assert(
      fc.property(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 3 }), (key, value) =>
        survives(
          JSON.stringify({
            apiVersion: 'slipway/v1',
            kind: 'Cluster',
            name: 'demo',
            provider: { local: {} },
            zones: ['a'],
            [key]: value,
          }),
        ),
      ),
      { numRuns: 500 },
    );
  });
});
