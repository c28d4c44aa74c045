import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { Bundle } from '../../../src/components/bundle.ts';
import { filesOf, renderHostEnv, renderManifest } from '../../../src/host/manifest.ts';
import { script } from '../../../src/host/scripts.ts';
import { sha256 } from '../../../src/plan/canonical.ts';

const bundle: Bundle = {
  name: 'demo',
  files: [{ path: '/etc/a.conf', mode: '0640', content: { text: 'a' } }],
  units: [
    {
      name: 'a.service',
      text: '[Unit]\nConditionPathExists=/var/lib/a/marker\n[Service]\nExecStart=/bin/a\n',
      inputs: ['/etc/a.conf'],
      certificates: ['client'],
      serving: true,
    },
    { name: 'a.timer', text: '[Timer]\n', inputs: [], certificates: [], serving: false },
  ],
  assets: [{ name: 'a', version: '1', path: 'a/1/a' }],
  certificates: [
    {
      name: 'client',
      authority: 'kubernetes',
      subject: { cn: 'a' },
      sans: { dns: [], ip: [] },
      usages: ['client'],
      lifetimeDays: 1,
      files: { combined: '/var/lib/a/current.pem' },
    },
  ],
  probes: [{ name: 'up', command: `curl -s 'http://localhost/' | tr -d "\\n"` }],
};
const render = (of: Bundle) =>
  renderManifest({ bundle: of, identity: { NAME: 'x' }, digests: new Map(filesOf(of).map((file) => [file.path, sha256('a')])) });

describe('the manifest', () => {
  test('has one line a thing, in the words of templates/host/common', () => {
    const lines = render(bundle).trimEnd().split('\n');
    expect(lines.map((line) => line.replaceAll(/[0-9a-f]{64}/g, 'SHA'))).toEqual([
      'bundle demo',
      'file 0640 SHA /etc/a.conf',
      'file 0644 SHA /etc/systemd/system/a.service.d/10-slipway.conf',
      'file 0644 SHA /etc/slipway/host.env',
      'certificate client /var/lib/a/current.pem /var/lib/a/current.pem',
      'unit a.service SHA serving',
      'input a.service /etc/a.conf',
      'condition a.service /var/lib/a/marker',
      'needs a.service client',
      'unit a.timer SHA plain',
      'asset a/1/a',
      `probe up 'curl -s '\\''http://localhost/'\\'' | tr -d "\\n"'`,
    ]);
  });

  test('is read back by sh word for word', () => {
    const reader =
      'probe() { printf %s "$2"; }; for f in bundle file certificate unit input condition needs asset; do eval "$f() { :; }"; done';
    expect(execFileSync('sh', ['-s'], { input: `${reader}\n${render(bundle)}` }).toString()).toBe(bundle.probes[0]?.command);
  });

  test('refuses names that a list of words in sh cannot hold', () => {
    for (const path of ['/etc/a b', '/etc/$(id)', '/etc/*']) {
      const file = { path, mode: '0644', content: { text: 'a' } };
      expect(() => render({ ...bundle, files: [file] })).toThrow(/cannot carry/);
    }
  });

  test("a host's identity survives quotes, dollars and backslashes as systemd reads them", () => {
    expect(renderHostEnv({ A: 'plain', B: 'a="b" $c \\ `d`' })).toBe('A="plain"\nB="a=\\"b\\" \\$c \\\\ \\`d\\`"\n');
  });
});

test('observe and converge are plain POSIX sh', async () => {
  for (const name of ['observe', 'converge'] as const) {
    execFileSync('dash', ['-n'], { input: await script(name) });
  }
});
