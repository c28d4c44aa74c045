import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bundle, CertificateSpec } from '../../src/components/bundle.ts';
import { UserError } from '../../src/errors.ts';
import { installCertificates, requestCertificates } from '../../src/host/certificates.ts';
import { hostResources } from '../../src/host/design.ts';
import { readFacts } from '../../src/host/facts.ts';
import type { Access, Host, HostFacts, HostsClients } from '../../src/host/host.ts';
import { openHosts } from '../../src/host/ssh.ts';
import { hostBundle } from '../../src/host/types/bundle.ts';
import { hostUnits } from '../../src/host/types/units.ts';
import type { Context, FieldChange } from '../../src/plan/resource.ts';
import { LocalLab } from '../support/local-lab.ts';

/** SSH, observe and converge on a real machine, with a bundle of its own instead of Kubernetes. */
const signal = new AbortController().signal;
/** The machine may be busy with other tests' clusters. */
const patience = { timeout: 30_000, interval: 100 };
const marker = '/var/lib/demo/marker';

interface Demo {
  readonly content?: string;
  readonly extra?: boolean;
  readonly unitComment?: string;
  readonly asset?: string;
}
const unitText = (name: string, more = ''): string =>
  `[Unit]\nDescription=${name}\n${more}[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n`;
const certificate: CertificateSpec = {
  name: 'serving',
  authority: 'kubernetes',
  subject: { cn: 'x' },
  sans: { dns: [], ip: [] },
  usages: ['server'],
  lifetimeDays: 1,
  files: { cert: '/etc/slipway/pki/serving.pem', key: '/etc/slipway/pki/serving-key.pem' },
};
const combined: CertificateSpec = { ...certificate, name: 'client', files: { combined: '/var/lib/demo/current.pem' } };
function demo({ content = 'one', extra = false, unitComment = '', asset }: Demo = {}): Bundle {
  const unit = { inputs: [], certificates: [], serving: false };
  return {
    name: 'demo',
    files: [
      { path: '/etc/demo/plain.conf', mode: '0644', content: { text: content } },
      { path: '/etc/demo/serving.conf', mode: '0640', content: { text: content } },
      { path: '/etc/demo/secret.key', mode: '0600', content: { secret: 'shared' } },
      ...(extra ? [{ path: '/etc/demo/extra.conf', mode: '0644', content: { text: 'extra' } }] : []),
    ],
    units: [
      { ...unit, name: 'demo-plain.service', text: unitText('plain', unitComment), inputs: ['/etc/demo/plain.conf'] },
      {
        ...unit,
        name: 'demo-serving.service',
        text: unitText('serving'),
        inputs: ['/etc/demo/serving.conf'],
        certificates: ['serving', 'client'],
        serving: true,
      },
      { ...unit, name: 'demo-marked.service', text: unitText('marked', `ConditionPathExists=${marker}\n`) },
      ...(extra ? [{ ...unit, name: 'demo-extra.service', text: unitText('extra') }] : []),
    ],
    assets: asset ? [{ name: 'x', version: '1', path: asset }] : [],
    certificates: [certificate, combined],
    probes: [{ name: 'echo', command: `printf 'a\\nb' ; exit 3` }],
  };
}

describe('a host', () => {
  const lab = LocalLab.open('t-host');
  const name = 'etcd-a';
  let access: Access;
  let clients: HostsClients;
  let host: Host;
  const clientsFor = (hosts: HostsClients['hosts'], bundle: Bundle, generation = 1): HostsClients => ({
    hosts,
    machines: new Map([[name, { bundle, identity: { NODE_NAME: name, NODE_LABELS: 'a="b" $c' } }]]),
    uid: 'uid',
    generation,
    records: { get: async () => undefined, put: async () => undefined },
    delivery: 'mounted',
    storedAssets: async () => new Map(),
    assetFile: (path) => path,
    now: Date.now,
  });
  const designed = (bundle: Bundle) => {
    const machine = clients.machines.get(name)!;
    const [ofBundle, ofUnits] = hostResources({ name }, bundle, machine.identity, ['local.machine/x']);
    // The digest that the store's layer would say: this test holds the same material on both sides.
    return { ...ofBundle.props, identity: machine.identity, units: ofBundle.props.units, ofUnits: ofUnits.props };
  };
  const context = (address: `${string}/${string}`, of: HostsClients, hold: readonly string[] = []): Context<HostsClients> => ({
    address,
    clients: of,
    signal,
    token: '',
    since: 0,
    hold,
    secrets: { reveal: async () => Buffer.from('secret material') },
    progress: () => undefined,
  });
  const apply = (bundle: Bundle, { hold = [], generation = 1 }: { hold?: readonly string[]; generation?: number } = {}) => {
    const of = clientsFor(clients.hosts, bundle, generation);
    return hostBundle.create!(resolved(bundle), context(`host.bundle/${name}`, of, hold));
  };
  const resolved = (bundle: Bundle): Parameters<NonNullable<typeof hostBundle.create>>[0] => {
    const { ofUnits: _, ...props } = designed(bundle);
    const files = Object.entries(props.files).map(([path, file]) => [
      path,
      { ...file, digest: 'digest' in file ? file.digest : '' },
    ]);
    return { ...props, files: Object.fromEntries(files) };
  };
  const start = (bundle: Bundle) =>
    hostUnits.create!(designed(bundle).ofUnits, context(`host.units/${name}`, clientsFor(clients.hosts, bundle)));
  const facts = async (): Promise<HostFacts> => {
    const seen = (await readFacts(clients, signal)).get(name);
    if (seen?.state !== 'present') throw new Error(JSON.stringify(seen));
    return seen.facts;
  };
  const world = (of: HostsClients) => ({
    clients: of,
    signal,
    read: <T>(query: (c: HostsClients, s: AbortSignal) => Promise<T>) => query(of, signal),
  });
  /** Differences but for the secret, whose digest the store's layer would say. */
  const differences = async (bundle: Bundle): Promise<readonly FieldChange[]> => {
    const of = clientsFor(clients.hosts, bundle);
    const inBundle = (await hostBundle.observe(world(of))).get(`host.bundle/${name}`);
    const inUnits = (await hostUnits.observe(world(of))).get(`host.units/${name}`);
    if (inBundle?.state !== 'present' || inUnits?.state !== 'present') throw new Error('not there');
    return [
      ...hostBundle.diff(resolved(bundle), inBundle.props).filter(({ path }) => path !== 'files./etc/demo/secret.key'),
      ...hostUnits.diff(designed(bundle).ofUnits, inUnits.props),
    ];
  };
  const sh = async (command: string): Promise<string> => (await host.exec(command)).stdout.trim();
  const pidOf = (unit: string): Promise<string> => sh(`systemctl show -P MainPID ${unit}`);

  beforeAll(async () => {
    const opened = await lab;
    const topology = opened.topology({ zones: ['a'], etcd: { count: 1 }, masters: { count: 1 }, pools: [] });
    await opened.apply(opened.provider.design(topology));
    access = opened.provider.access(topology, opened.seen);
    const hosts = openHosts({ access: () => access, privateKey: async () => opened.key.privateKey });
    clients = clientsFor(hosts, demo());
    host = await hosts.get(name);
  });
  afterAll(async () => {
    await clients?.hosts.close();
    await (await lab).remove();
  });

  test('that nothing was applied to says so', async () => {
    const found = await facts();
    expect(found.bundle).toBeUndefined();
    expect(Math.abs(found.clockMs - Date.now())).toBeLessThan(60_000);
  });

  test('gets the bundle: files with their modes, units enabled and not started', async () => {
    await apply(demo());
    const found = await facts();
    expect(found.bundle).toBe('demo');
    expect(found.identity).toEqual({ NODE_NAME: name, NODE_LABELS: 'a="b" $c' });
    expect(found.files.get('/etc/demo/secret.key')?.mode).toBe('0600');
    expect(found.files.get('/etc/demo/serving.conf')?.mode).toBe('0640');
    expect(found.units.get('demo-plain.service')).toMatchObject({ active: 'inactive', enabled: true, stale: false });
    expect(found.probes.get('echo')).toEqual({ code: 3, stdout: 'a\nb' });
    expect(found.certificates.get('serving')).toBeUndefined();
  });

  test('refuses a unit whose certificates are missing, and starts it when they fit', async () => {
    await start(demo());
    await expect.poll(async () => (await facts()).units.get('demo-plain.service')?.active, patience).toBe('active');
    expect((await facts()).units.get('demo-serving.service')?.active).toBe('inactive');
    const [serving, client] = await Promise.all([
      requestCertificates(host, [certificate]),
      requestCertificates(host, [combined]),
    ]);
    const ca = authority();
    await Promise.all([
      installCertificates(host, [{ spec: certificate, certPem: ca.sign(serving.get('serving')!) }]),
      installCertificates(host, [{ spec: combined, certPem: ca.sign(client.get('client')!) }]),
    ]);
    expect(await sh('stat -c %a /etc/slipway/pki/serving-key.pem /var/lib/demo/current.pem')).toBe('600\n600');
    await start(demo());
    await expect.poll(() => sh('systemctl is-active demo-serving.service'), patience).toBe('active');
    const found = await facts();
    expect(new X509Certificate(found.certificates.get('client')!.pem).issuer).toBe('CN=ca');
    expect([...found.certificates.values()].map((certificate) => certificate?.keyFits)).toEqual([true, true]);
  });

  test('has no difference then; a unit that waits for its marker is none either', async () => {
    await expect.poll(() => differences(demo()), patience).toEqual([]);
    expect((await facts()).units.get('demo-marked.service')).toMatchObject({ active: 'inactive', waitsFor: marker });
  });

  test('never says a private key', async () => {
    const { script } = await import('../../src/host/scripts.ts');
    const { stdout } = await host.exec('sh -s', { stdin: await script('observe') });
    expect(stdout).toContain('BEGIN CERTIFICATE');
    expect(stdout).not.toContain('PRIVATE');
    const key = (await sh('cat /var/lib/demo/current.pem')).split('-----BEGIN PRIVATE KEY-----\n')[1]!.split('\n')[0]!;
    expect(stdout).not.toContain(key);
  });

  test('restarts what runs and reads the changed file, and leaves what is held', async () => {
    const before = [await pidOf('demo-plain.service'), await pidOf('demo-serving.service')];
    const changes = await differences(demo({ content: 'two' }));
    expect(changes).toMatchObject([
      { path: 'files./etc/demo/plain.conf', impact: 'none', note: 'restarts demo-plain' },
      { path: 'files./etc/demo/serving.conf', impact: 'restart', note: 'restarts demo-serving' },
    ]);
    const { restarted } = await apply(demo({ content: 'two' }), { hold: ['files./etc/demo/serving.conf'] });
    expect(restarted).toEqual(['demo-plain.service']);
    await expect.poll(() => pidOf('demo-plain.service'), patience).not.toBe(before[0]);
    expect(await pidOf('demo-serving.service')).toBe(before[1]);
    expect((await differences(demo({ content: 'two' }))).map(({ path }) => path)).toEqual(['files./etc/demo/serving.conf']);
    await apply(demo({ content: 'two' }));
    await expect.poll(() => pidOf('demo-serving.service'), patience).not.toBe(before[1]);
    await expect.poll(() => differences(demo({ content: 'two' })), patience).toEqual([]);
  });

  test('shows a restart that is due after a kill between write and restart', async () => {
    await sh('echo edited >/etc/demo/serving.conf');
    const changes = await differences(demo({ content: 'two' }));
    expect(changes.map(({ path, impact }) => [path, impact])).toEqual([
      ['files./etc/demo/serving.conf', 'restart'],
      ['units.demo-serving.service.current', 'restart'],
    ]);
    await apply(demo({ content: 'two' }));
    await expect.poll(() => differences(demo({ content: 'two' })), patience).toEqual([]);
    await sh('printf x >>/etc/demo/plain.conf');
    const of = clientsFor(clients.hosts, demo({ content: 'two' }));
    const seen = (await hostUnits.observe(world(of))).get(`host.units/${name}`);
    if (seen?.state !== 'present') throw new Error('not there');
    expect(seen.outputs.stale).toEqual(['demo-plain.service']);
    const before = await pidOf('demo-plain.service');
    await hostUnits.update!(designed(demo()).ofUnits, seen.outputs, context(`host.units/${name}`, of));
    await expect.poll(() => pidOf('demo-plain.service'), patience).not.toBe(before);
    await apply(demo({ content: 'two' }));
  });

  test('heals a stopped unit, a disabled unit, a mode, and an edited identity', async () => {
    const bundle = demo({ content: 'two' });
    await sh(
      'systemctl stop demo-plain.service; systemctl --quiet disable demo-marked.service; chmod 666 /etc/demo/plain.conf; echo X=1 >>/etc/slipway/host.env',
    );
    expect((await differences(bundle)).map(({ path }) => path).sort()).toEqual(
      ['files./etc/demo/plain.conf', 'identity.X=1', 'units.demo-marked.service', 'units.demo-plain.service.active'].sort(),
    );
    await apply(bundle);
    await start(bundle);
    await expect.poll(() => differences(bundle), patience).toEqual([]);
  });

  test('loses what the bundle no longer has', async () => {
    await apply(demo({ content: 'two', extra: true }));
    await start(demo({ content: 'two', extra: true }));
    await expect.poll(() => sh('systemctl is-active demo-extra.service'), patience).toBe('active');
    await apply(demo({ content: 'two' }));
    await expect.poll(() => sh('systemctl is-active demo-extra.service'), patience).toBe('inactive');
    expect(await sh('ls /etc/demo /etc/systemd/system | grep extra')).toBe('');
    await expect.poll(() => differences(demo({ content: 'two' })), patience).toEqual([]);
  });

  test('takes a changed unit: reloaded, restarted', async () => {
    const bundle = demo({ content: 'two', unitComment: '# changed\n' });
    const before = await pidOf('demo-plain.service');
    await apply(bundle);
    await expect.poll(() => pidOf('demo-plain.service'), patience).not.toBe(before);
    expect(await sh('systemctl show -P NeedDaemonReload demo-plain.service')).toBe('no');
    await expect.poll(() => differences(bundle), patience).toEqual([]);
    await apply(demo({ content: 'two' }));
  });

  test('refuses an older lock generation, and missing assets before it writes anything', async () => {
    await apply(demo({ content: 'two' }), { generation: 7 });
    await expect(apply(demo({ content: 'three' }), { generation: 6 })).rejects.toThrow(/older than 7/);
    await expect(apply(demo({ content: 'three', asset: 'none/1/none' }), { generation: 7 })).rejects.toThrow(/asset cache/);
    expect(await sh('cat /etc/demo/plain.conf')).toBe('two');
  });

  test('finishes a bundle whose connection was cut, and runs two at once one after the other', async () => {
    await sh("setsid flock /run/slipway/converge.lock sh -c 'echo $$ >/run/holder; exec sleep 600' >/dev/null 2>&1 &");
    await expect.poll(() => sh('cat /run/holder || true'), patience).not.toBe('');
    const cut = new AbortController();
    const of = clientsFor(clients.hosts, demo({ content: 'four' }), 7);
    const cutOff = hostBundle.create!(resolved(demo({ content: 'four' })), {
      ...context(`host.bundle/${name}`, of),
      signal: cut.signal,
    });
    // It is on the machine, and waits for the lock.
    const atWork = () => sh("systemctl list-units --no-legend --plain 'slipway-converge-*'");
    await expect.poll(atWork, patience).not.toBe('');
    cut.abort(new Error('cut'));
    await expect(cutOff).rejects.toThrow('cut');
    expect(await sh('cat /etc/demo/plain.conf')).toBe('two');
    await sh('kill "$(cat /run/holder)"');
    await expect.poll(() => sh('cat /etc/demo/plain.conf'), patience).toBe('four');
    await Promise.all([apply(demo({ content: 'five' }), { generation: 7 }), apply(demo({ content: 'five' }), { generation: 7 })]);
    await expect.poll(() => differences(demo({ content: 'five' })), patience).toEqual([]);
  });

  test('runs more commands at once than sshd has sessions, with stdin, codes and ends', async () => {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => host.exec(`cat; echo ${i} >&2; exit ${i}`, { stdin: `in${i}` })),
    );
    expect(answers.map(({ code, stdout, stderr }) => `${code} ${stdout} ${stderr.trim()}`)).toEqual(
      Array.from({ length: 30 }, (_, i) => `${i} in${i} ${i}`),
    );
    const began = Date.now();
    await expect(host.exec('sleep 60', { timeoutMs: 300 })).rejects.toMatchObject({ exitCode: 69 });
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('stopped')), 100);
    await expect(host.exec('sleep 60', { signal: abort.signal })).rejects.toThrow('stopped');
    expect(Date.now() - began).toBeLessThan(10_000);
  });

  test('with another host key stops the command; one that is not there is waited for, and named', async () => {
    const other = { ...access, hosts: new Map(access.hosts) };
    const endpoint = { ...reachable(access, name), hostKey: `ssh-ed25519 ${Buffer.from('other').toString('base64')}` };
    other.hosts.set(name, { state: 'reachable', endpoint });
    other.hosts.set('ghost', { state: 'reachable', endpoint: { ...endpoint, port: 1 } });
    const { key } = await lab;
    const hosts = openHosts({ access: () => other, privateKey: async () => key.privateKey });
    try {
      const wrong = await hosts.get(name).catch((error: unknown) => error);
      expect(wrong).toBeInstanceOf(UserError);
      expect(String(wrong)).toMatch(/etcd-a.*\n.*SHA256:\S+, found SHA256:/);
      await expect(hosts.get('ghost', { waitMs: 500 })).rejects.toMatchObject({
        exitCode: 69,
        message: expect.stringContaining('ghost'),
      });
      const seen = await readFacts(
        { ...clients, hosts: { ...hosts, access: () => ({ ...other, hosts: new Map([['ghost', other.hosts.get('ghost')!]]) }) } },
        signal,
      );
      expect(seen.get('ghost')).toMatchObject({ state: 'unknown' });
      expect(seen.get(name)).toEqual({ state: 'absent' });
    } finally {
      await hosts.close();
    }
  });

  test('whose SSH hangs is noticed, and found again when it answers', async () => {
    const container = execFileSync('docker', ['ps', '-q', '--filter', 'name=t-host.*etcd-a']).toString().trim();
    execFileSync('docker', ['pause', container]);
    try {
      const began = Date.now();
      await expect(host.exec('true')).rejects.toMatchObject({ exitCode: 69 });
      expect(Date.now() - began).toBeLessThan(30_000);
    } finally {
      execFileSync('docker', ['unpause', container]);
    }
    expect((await host.exec('true')).code).toBe(0);
  });
});

function reachable(access: Access, name: string) {
  const host = access.hosts.get(name);
  if (host?.state !== 'reachable') throw new Error(`${name} cannot be reached`);
  return host.endpoint;
}

/** A throw-away authority by openssl. */
function authority() {
  const directory = mkdtempSync(join(tmpdir(), 'ca-'));
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'] });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-noenc',
    '-keyout',
    'key',
    '-subj',
    '/CN=ca',
    '-out',
    'pem',
  );

  return {
    sign(csr: string): string {
      writeFileSync(join(directory, 'csr'), csr);
      return openssl('x509', '-req', '-in', 'csr', '-CA', 'pem', '-CAkey', 'key', '-days', '3').toString();
    },
  };
}
