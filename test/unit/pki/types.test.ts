import { createHmac } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Bundle, CertificateSpec } from '../../../src/components/bundle.ts';
import { certificateResources } from '../../../src/pki/design.ts';
import { pkiAuthority } from '../../../src/pki/types/authority.ts';
import { pkiCertificate } from '../../../src/pki/types/certificate.ts';
import { type SecretProps, secret } from '../../../src/pki/types/secret.ts';
import { sha256 } from '../../../src/plan/canonical.ts';
import { addressOf, type Resource } from '../../../src/plan/resource.ts';
import { memoryStore } from '../run/memoryStore.ts';
import { engine, hostInDirectory, hostsClients, ObservedMap, secretsClients, temporary } from './house.ts';
import { type Workshop, workshop } from './openssl.ts';

const day = 86_400_000;
const start = Date.now();
let time: number;
const now = (): number => time;
let root: string;
let store: ReturnType<typeof memoryStore>;
let shop: Workshop;
let remove: () => Promise<void>;
beforeEach(async () => {
  time = start;
  ({ root, remove } = await temporary());
  store = memoryStore();
  shop = await workshop();
});
afterEach(() => Promise.all([remove(), shop.close()]));

const authority = (name: string): Resource => ({
  address: addressOf('pki.authority', name),
  type: 'pki.authority',
  props: { algorithm: 'p256', lifetimeDays: 3650 },
  after: [],
});
const aSecret = (name: string, props: SecretProps): Resource => ({
  address: addressOf('secret', name),
  type: 'secret',
  props,
  after: [],
});
/** What one process of the CLI has. */
const process_ = (seen = new ObservedMap()) => {
  const clients = secretsClients(store, root, now);
  return {
    seen,
    clients,
    authorities: engine(pkiAuthority, clients, seen, clients.secrets),
    secrets: engine(secret, clients, seen, clients.secrets),
    reveal: async (name: string) => new TextDecoder().decode(await clients.sealing.reveal(name)),
  };
};
const digestOf = (material: string): string => createHmac('sha256', 'c-123').update(sha256(material)).digest('hex');

describe('pki.authority', () => {
  it('is made once, and observed without opening its key', async () => {
    const first = process_();
    expect(await first.authorities.differences(authority('etcd'))).toBe('create');
    const made = await first.authorities.apply(authority('etcd'));
    expect(made.digest).toBe(digestOf(await first.reveal('authority.etcd')));
    await rm(join(root, 'identity.txt'));
    const second = process_();
    expect(await second.authorities.differences(authority('etcd'))).toEqual([]);
    expect((await second.authorities.observe()).get('pki.authority/etcd')).toMatchObject({ state: 'present', outputs: made });
  });

  it('keeps the key that a killed run sealed', async () => {
    const made = await process_().authorities.apply(authority('nodes'));
    const key = await process_().reveal('authority.nodes');
    await store.delete('secrets/authority.nodes.json');
    const again = process_();
    expect(await again.authorities.differences(authority('nodes'))).toBe('create');
    const remade = await again.authorities.apply(authority('nodes'));
    expect(remade).toMatchObject({ keyId: made.keyId, digest: made.digest });
    expect(await process_().reveal('authority.nodes')).toBe(key);
    expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  });

  it('is sealed again, with the same key, when a recipient is added', async () => {
    await process_().authorities.apply(authority('etcd'));
    const key = await process_().reveal('authority.etcd');
    const { generateX25519Identity, identityToRecipient } = await import('age-encryption');
    const { openSealing } = await import('../../../src/store/sealing.ts');
    const colleague = await generateX25519Identity();
    const mine = (await process_().clients.sealing.recipients()).own;
    const recipients = [...mine, await identityToRecipient(colleague)];
    const wanted: Resource = { ...authority('etcd'), props: { algorithm: 'p256', lifetimeDays: 3650, recipients } };
    const clients = {
      ...process_().clients,
      sealing: openSealing({ store, recipients, identityFile: join(root, 'identity.txt') }),
    };
    const run = engine(pkiAuthority, clients, new ObservedMap(), { reveal: () => Promise.reject(new Error('not needed')) });
    expect(await run.differences(wanted)).toMatchObject([{ path: 'recipients', impact: 'none' }]);
    await run.apply(wanted);
    expect(await run.differences(wanted)).toEqual([]);
    await writeFile(join(root, 'identity.txt'), `${colleague}\n`);
    expect(await process_().reveal('authority.etcd')).toBe(key);
  });
});

describe('secret', () => {
  it('of service accounts is a P-256 key with its public half', async () => {
    const run = process_();
    const wanted = aSecret('service-account', { kind: 'p256-key' });
    const made = await run.secrets.apply(wanted);
    const key = await shop.file('sa.pem', await run.reveal('service-account'));
    expect(made.publicKey).toBe(await shop.openssl('pkey', '-in', key, '-pubout'));
    expect(made.digest).toBe(digestOf(await run.reveal('service-account')));
    expect(await process_().secrets.differences(wanted)).toEqual([]);
  });

  it.each(['secretbox', 'aescbc'] as const)('of encryption at rest is a whole configuration for %s', async (provider) => {
    const run = process_();
    const wanted = aSecret('encryption-config', { kind: 'encryption-config', provider });
    await run.secrets.apply(wanted);
    const config = parse(await run.reveal('encryption-config'));
    expect(config).toMatchObject({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration' });
    const [{ resources, providers }] = config.resources;
    expect(resources).toEqual(['secrets']);
    expect(providers).toEqual([{ [provider]: { keys: [{ name: 'key1', secret: expect.any(String) }] } }, { identity: {} }]);
    expect(Buffer.from(providers[0][provider].keys[0].secret, 'base64')).toHaveLength(32);
    expect(await process_().secrets.differences(wanted)).toEqual([]);
    const other = aSecret('encryption-config', {
      kind: 'encryption-config',
      provider: provider === 'aescbc' ? 'secretbox' : 'aescbc',
    });
    expect(await process_().secrets.differences(other)).toMatchObject([{ path: 'provider', impact: 'restart' }]);
  });

  it('of SSH is an ed25519 key that ssh2 reads, with its line for authorized_keys', async () => {
    const run = process_();
    const made = await run.secrets.apply(aSecret('ssh', { kind: 'ssh-key' }));
    const material = await run.reveal('ssh');
    expect(material).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----/);
    const key = ssh2.utils.parseKey(material);
    if (key instanceof Error) throw key;
    expect(key.isPrivateKey()).toBe(true);
    expect(made.publicKey).toBe(`ssh-ed25519 ${key.getPublicSSH().toString('base64')} slipway`);
  });

  it.each([
    ['service-account', { kind: 'p256-key' }],
    ['encryption-config', { kind: 'encryption-config', provider: 'aescbc' }],
    ['ssh', { kind: 'ssh-key' }],
  ] as const)('%s keeps the material that a killed run sealed', async (name, props) => {
    const made = await process_().secrets.apply(aSecret(name, props));
    const before = await store.get(`secrets/${name}.json`);
    await store.delete(`secrets/${name}.json`);
    expect(await process_().secrets.apply(aSecret(name, props))).toEqual(made);
    expect((await store.get(`secrets/${name}.json`))?.version).toBe(before?.version);
  });

  it('never lies in the open: no public part, observation or error holds key material', async () => {
    const run = process_();
    await run.authorities.apply(authority('kubernetes'));
    await run.secrets.apply(aSecret('service-account', { kind: 'p256-key' }));
    await run.secrets.apply(aSecret('encryption-config', { kind: 'encryption-config' }));
    await run.secrets.apply(aSecret('ssh', { kind: 'ssh-key' }));
    const materials = await Promise.all(['authority.kubernetes', 'service-account', 'encryption-config', 'ssh'].map(run.reveal));
    const secretLines = materials
      .flatMap((m) => m.split('\n'))
      .filter((line) => /^[\w+/=]{24,}$/.test(line) || /secret: /.test(line));
    expect(secretLines.length).toBeGreaterThan(6);
    const open: string[] = [];
    for (const key of await store.list('')) {
      open.push(Buffer.from((await (await store.get(key))?.bytes()) ?? []).toString('latin1'));
    }
    for (const observation of [...(await run.authorities.observe()), ...(await run.secrets.observe())])
      open.push(JSON.stringify(observation));
    await writeFile(join(root, 'identity.txt'), '');
    open.push(
      String(
        await process_()
          .reveal('ssh')
          .catch((error: unknown) => error),
      ),
    );
    for (const text of open) {
      expect(text).not.toContain('PRIVATE KEY');
      // The SSH key's file begins with its public half, which may be told.
      for (const line of secretLines.filter((l) => !l.startsWith('b3BlbnNzaC1rZXkt')))
        expect(text.includes(line.trim())).toBe(false);
    }
  });
});

describe('pki.certificate', () => {
  const specOf = (name: string, more: Partial<CertificateSpec> = {}): CertificateSpec => ({
    name,
    authority: 'nodes',
    subject: { cn: 'system:node:${NODE_NAME}', o: ['system:nodes'] },
    sans: { dns: ['${NODE_NAME}'], ip: ['${NODE_IP}'] },
    usages: ['server', 'client'],
    lifetimeDays: 365,
    files: { cert: join(root, 'pki', `${name}.pem`), key: join(root, 'pki', `${name}-key.pem`) },
    ...more,
  });
  const identity = { NODE_NAME: 'worker-a-1', NODE_IP: '10.0.0.7' };
  const aBundle = (certificates: readonly CertificateSpec[]): Bundle => ({
    name: 'pool-workers',
    files: [],
    units: [],
    assets: [],
    probes: [],
    certificates,
  });
  /** A host whose manifest was applied, and authorities that were made. */
  const aHost = async (certificates: readonly CertificateSpec[]) => {
    const run = process_();
    const ca = await run.authorities.apply(authority('nodes'));
    await run.authorities.observe();
    const manifest = certificates.map(({ name, files }) =>
      'combined' in files
        ? `certificate ${name} ${files.combined} ${files.combined}`
        : `certificate ${name} ${files.cert} ${files.key}`,
    );
    await writeFile(join(root, 'state', 'manifest'), `bundle pool-workers\n${manifest.join('\n')}\n`);
    const host = hostInDirectory('worker-a-1', root);
    const bundle = aBundle(certificates);
    const machines = new Map([['worker-a-1', { bundle, identity }]]);
    const clients = hostsClients(machines, new Map([['worker-a-1', host]]), now);
    const resources = certificateResources({ name: 'worker-a-1' }, bundle, identity);
    const certificate = engine(pkiCertificate, clients, run.seen, run.clients.secrets);
    return {
      run,
      ca,
      host,
      resources,
      bundle,
      certificate,
      only: resources[0]!,
      caFile: await shop.file('ca.pem', ca.certificate),
    };
  };

  it('is designed with the host in it, and refers to its issuer', async () => {
    const [resource] = certificateResources({ name: 'worker-a-1' }, aBundle([specOf('kubelet')]), identity);
    expect(resource).toMatchObject({
      address: 'pki.certificate/worker-a-1.kubelet',
      after: ['host.bundle/worker-a-1'],
      props: {
        issuer: { ref: 'pki.authority/nodes', field: 'keyId' },
        subject: { cn: 'system:node:worker-a-1', o: ['system:nodes'] },
        sans: { dns: ['worker-a-1'], ip: ['10.0.0.7'] },
        usages: ['client', 'server'],
        state: 'fresh',
      },
    });
    expect(() => certificateResources({ name: 'x' }, aBundle([specOf('kubelet')]), { NODE_NAME: 'x' })).toThrow('${NODE_IP}');
  });

  it('is made on the host: key and certificate fit, the chain verifies, and then nothing differs', async () => {
    const { certificate, resources, host, caFile } = await aHost([specOf('kubelet'), specOf('client', { usages: ['client'] })]);
    for (const resource of resources) expect(await certificate.differences(resource)).toBe('create');
    host.calls.length = 0;
    await Promise.all(resources.map(certificate.apply));
    // All requests in one call, all certificates in another.
    expect(host.calls).toHaveLength(2);
    for (const resource of resources) expect(await certificate.differences(resource)).toEqual([]);
    const leaf = join(root, 'pki', 'kubelet.pem');
    expect(await shop.openssl('verify', '-verify_hostname', 'worker-a-1', '-CAfile', caFile, leaf)).toContain('OK');
    expect((await stat(join(root, 'pki', 'kubelet-key.pem'))).mode & 0o777).toBe(0o600);
    expect(host.calls.join('')).not.toContain('PRIVATE KEY');
  });

  it('in one file with its key is made and seen as well', async () => {
    const combined = join(root, 'pki', 'kubelet-current.pem');
    const { certificate, only } = await aHost([specOf('kubelet', { files: { combined } })]);
    await certificate.apply(only);
    expect(await certificate.differences(only)).toEqual([]);
    expect(await readFile(combined, 'utf8')).toMatch(/BEGIN CERTIFICATE.*BEGIN (EC )?PRIVATE KEY/s);
  });

  it('that was deleted is created, and that changed is updated', async () => {
    const { certificate, only, bundle } = await aHost([specOf('kubelet')]);
    await certificate.apply(only);
    await rm(join(root, 'pki', 'kubelet.pem'));
    expect(await certificate.differences(only)).toBe('create');
    await certificate.apply(only);
    const [moved] = certificateResources({ name: 'worker-a-1' }, bundle, { ...identity, NODE_IP: '10.0.0.8' });
    expect(await certificate.differences(moved!)).toMatchObject([{ path: 'sans', impact: 'none' }]);
  });

  it('turns due and expired with time, and is fresh after its renewal', async () => {
    const { certificate, only } = await aHost([specOf('kubelet')]);
    await certificate.apply(only);
    time = start + 250 * day;
    expect(await certificate.differences(only)).toMatchObject([{ path: 'state', before: 'due', after: 'fresh', impact: 'none' }]);
    time = start + 400 * day;
    expect(await certificate.differences(only)).toMatchObject([{ path: 'state', before: 'expired' }]);
    await certificate.apply(only);
    expect(await certificate.differences(only)).toEqual([]);
  });

  it('beside another key is unfit, and mended', async () => {
    const { certificate, only } = await aHost([specOf('kubelet')]);
    await certificate.apply(only);
    await shop.openssl(
      'genpkey',
      '-algorithm',
      'EC',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-out',
      join(root, 'pki', 'kubelet-key.pem'),
    );
    expect(await certificate.differences(only)).toMatchObject([{ path: 'state', before: 'unfit' }]);
    await certificate.apply(only);
    expect(await certificate.differences(only)).toEqual([]);
  });

  it('that is no certificate is made anew', async () => {
    const { certificate, only } = await aHost([specOf('kubelet')]);
    await certificate.apply(only);
    await writeFile(join(root, 'pki', 'kubelet.pem'), '-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n');
    expect(await certificate.differences(only)).toContainEqual(expect.objectContaining({ path: 'state', before: 'unfit' }));
    await certificate.apply(only);
    expect(await certificate.differences(only)).toEqual([]);
  });

  it('that kubelet rotated, with more names and from the same issuer, is no difference', async () => {
    const combined = join(root, 'pki', 'kubelet-current.pem');
    const { certificate, only, run, ca } = await aHost([specOf('kubelet', { files: { combined }, usages: ['server'] })]);
    await certificate.apply(only);
    const { csrPem, keyFile } = await shop.request('rotated');
    const { signRequest } = await import('../../../src/pki/issue.ts');
    const successor = await signRequest({
      csrPem,
      authority: { certPem: ca.certificate, keyPem: await run.reveal('authority.nodes') },
      spec: {
        subject: { cn: 'system:node:worker-a-1', o: ['system:nodes'] },
        sans: { dns: ['worker-a-1', 'worker-a-1.example'], ip: ['10.0.0.7', '10.9.9.9'] },
        usages: ['server'],
        lifetimeDays: 90,
      },
      now: time,
    });
    await writeFile(combined, successor + (await readFile(keyFile, 'utf8')));
    expect(await certificate.differences(only)).toEqual([]);
    time = start + 75 * day;
    expect(await certificate.differences(only)).toEqual([]);
    time = start + 85 * day;
    expect(await certificate.differences(only)).toMatchObject([{ path: 'state', before: 'due' }]);
  });

  it('from another issuer is left to a rotation', async () => {
    const { certificate, only, run } = await aHost([specOf('kubelet')]);
    await certificate.apply(only);
    for (const key of await store.list('secrets/')) await store.delete(key);
    const other = process_(run.seen);
    await other.authorities.apply(authority('nodes'));
    await other.authorities.observe();
    expect(await certificate.differences(only)).toMatchObject([{ path: 'issuer', impact: 'restart' }]);
  });

  it('of a host that cannot be reached is unknown, of one that is not there absent', async () => {
    const { bundle, only } = await aHost([specOf('kubelet')]);
    const machines = new Map([['worker-a-1', { bundle, identity }]]);
    const seen = new ObservedMap();
    const secrets = { reveal: () => Promise.reject(new Error('not needed')) };
    const stopped = engine(pkiCertificate, hostsClients(machines, new Map([['worker-a-1', 'unreachable']]), now), seen, secrets);
    expect(await stopped.differences(only)).toBe('unknown');
    const absent = engine(pkiCertificate, hostsClients(machines, new Map(), now), new ObservedMap(), secrets);
    expect(await absent.differences(only)).toBe('create');
  });
});
