import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { goBuild } from '../../src/assets/go-build.ts';
import type { LocalApi } from './local-api.ts';
import { assetCache } from './local-etcd.ts';

const version = '0.8.0';
const directoryOfPins = fileURLToPath(new URL('../../bench/kwok', import.meta.url));
const cached = join(dirname(assetCache), 'bench', `kwok-${version}`);

/** kwok, built once from the pins in bench/kwok: about a minute and a half. */
export async function kwok(): Promise<string> {
  if (existsSync(cached)) return cached;
  const build = { name: 'kwok', version, programs: { kwok: 'sigs.k8s.io/kwok/cmd/kwok' }, variables: {} };
  const work = mkdtempSync(join(tmpdir(), 'slipway-kwok-'));
  try {
    console.error(`building kwok ${version}`);
    const built = (await goBuild(build, ['kwok'], work, { env: process.env, sources: directoryOfPins })).get('kwok') ?? '';
    mkdirSync(dirname(cached), { recursive: true });
    renameSync(built, cached);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return cached;
}

/** Stands in for the kubelets of all nodes: they are Ready, renew their leases, run pods at once and end them at once. */
export async function startKwok({ server, credentials }: Pick<LocalApi, 'server' | 'credentials'>, leaseSeconds = 40) {
  const binary = await kwok();
  const directory = mkdtempSync(join(tmpdir(), 'slipway-kwok-'));
  const kubeconfig = join(directory, 'kubeconfig');
  const log = join(directory, 'log');
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const { caPem, certPem, keyPem } = credentials;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'k', cluster: { server, 'certificate-authority-data': base64(caPem), 'tls-server-name': 'api.demo.internal' } },
    ],
    users: [{ name: 'k', user: { 'client-certificate-data': base64(certPem), 'client-key-data': base64(keyPem) } }],
    contexts: [{ name: 'k', context: { cluster: 'k', user: 'k' } }],
    'current-context': 'k',
  };
  writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  const output = openSync(log, 'w');
  const stages = join(directoryOfPins, 'stages.yaml');
  const flags = [
    '--kubeconfig',
    kubeconfig,
    '--config',
    stages,
    '--manage-all-nodes=true',
    `--node-lease-duration-seconds=${leaseSeconds}`,
  ];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', binary, ...flags], {
    stdio: ['ignore', output, output],
    cwd: directory,
  });
  return {
    pid: child.pid,
    log: () => readFileSync(log, 'utf8'),
    close: () => {
      child.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
