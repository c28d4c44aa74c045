import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueClient } from '../../../src/pki/admin.ts';
import { createAuthority } from '../../../src/pki/authorities.ts';
import { inspectCertificate } from '../../../src/pki/inspect.ts';
import { signRequest } from '../../../src/pki/issue.ts';
import { type Workshop, workshop } from './openssl.ts';

const day = 86_400_000;
const now = Date.now();
const spec = {
  subject: { cn: 'system:node:worker-a-1', o: ['system:nodes', 'second, with = signs'] },
  sans: { dns: ['worker-a-1', 'kubernetes.default.svc'], ip: ['10.0.0.7', 'fd00::1'] },
  usages: ['server', 'client'],
  lifetimeDays: 365,
} as const;
const anAuthority = (more: Partial<Parameters<typeof createAuthority>[0]> = {}) =>
  createAuthority({ name: 'kubernetes', uid: 'c-123', lifetimeDays: 3650, now, ...more });

let shop: Workshop;
beforeAll(async () => {
  shop = await workshop();
});
afterAll(() => shop.close());

describe('an authority', () => {
  it('is a P-256 root that issues leaves only, for ten years', async () => {
    const authority = await anAuthority();
    const file = await shop.file('ca.pem', authority.certPem);
    const text = await shop.openssl('x509', '-in', file, '-noout', '-text');
    expect(text).toContain('CA:TRUE, pathlen:0');
    expect(text).toContain('Certificate Sign, CRL Sign');
    expect(text).toContain('NIST CURVE: P-256');
    expect(text).toContain('ecdsa-with-SHA256');
    expect(await shop.openssl('x509', '-in', file, '-noout', '-subject', '-nameopt', 'RFC2253')).toBe(
      'subject=CN=slipway kubernetes,O=c-123\n',
    );
    expect(await shop.openssl('verify', '-x509_strict', '-CAfile', file, file)).toContain('OK');
    const facts = inspectCertificate(authority.certPem, now);
    expect(facts.keyId).toMatch(/^[0-9a-f]{40}$/);
    expect(facts.keyId).toBe(authority.keyId);
    expect(facts.issuerKeyId).toBe('');
    expect(Math.round((facts.notAfter - now) / day)).toBe(3650);
  });

  it('whose certificate was made anew for the same key still verifies what it issued', async () => {
    const first = await anAuthority();
    const { csrPem } = await shop.request('anew');
    const leaf = await signRequest({ csrPem, authority: first, spec, now });
    const second = await anAuthority({ keyPem: first.keyPem });
    expect(second.certPem).not.toBe(first.certPem);
    expect(second.keyId).toBe(first.keyId);
    const [ca, file] = [await shop.file('second.pem', second.certPem), await shop.file('leaf.pem', leaf)];
    expect(await shop.openssl('verify', '-CAfile', ca, file)).toContain('OK');
  });
});

describe('a signed certificate', () => {
  it('verifies against its authority for both usages, with its names, and against no other', async () => {
    const [authority, other] = await Promise.all([anAuthority(), anAuthority()]);
    const { csrPem, keyFile } = await shop.request('node');
    const certPem = await signRequest({ csrPem, authority, spec, now });
    const [ca, otherCa, leaf] = await Promise.all([
      shop.file('a.pem', authority.certPem),
      shop.file('b.pem', other.certPem),
      shop.file('leaf.pem', certPem),
    ]);
    for (const purpose of ['sslserver', 'sslclient'])
      expect(await shop.openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', ca, leaf)).toContain('OK');
    for (const [flag, name] of [
      ['-verify_hostname', 'worker-a-1'],
      ['-verify_hostname', 'kubernetes.default.svc'],
      ['-verify_ip', '10.0.0.7'],
      ['-verify_ip', 'fd00::1'],
    ] as const)
      expect(await shop.openssl('verify', flag, name, '-CAfile', ca, leaf)).toContain('OK');
    await expect(shop.openssl('verify', '-verify_hostname', 'evil', '-CAfile', ca, leaf)).rejects.toThrow();
    await expect(shop.openssl('verify', '-CAfile', otherCa, leaf)).rejects.toThrow();
    const [own, certified] = await Promise.all([
      shop.openssl('pkey', '-in', keyFile, '-pubout'),
      shop.openssl('x509', '-in', leaf, '-noout', '-pubkey'),
    ]);
    expect(certified).toBe(own);
  });

  it('says what the spec says, and nothing of what the request asks for', async () => {
    const authority = await anAuthority();
    const { csrPem } = await shop.request('evil');
    const certPem = await signRequest({ csrPem, authority, spec, now });
    const facts = inspectCertificate(certPem, now);
    expect(facts).toMatchObject({
      subject: { cn: 'system:node:worker-a-1', o: ['second, with = signs', 'system:nodes'] },
      sans: { dns: ['kubernetes.default.svc', 'worker-a-1'], ip: ['10.0.0.7', 'fd00::1'] },
      usages: ['client', 'server'],
      issuerKeyId: authority.keyId,
      state: 'fresh',
    });
    expect(now - facts.notBefore).toBeGreaterThanOrEqual(5 * 60_000);
    expect(now - facts.notBefore).toBeLessThan(5 * 60_000 + 1000);
    const file = await shop.file('leaf.pem', certPem);
    const text = await shop.openssl('x509', '-in', file, '-noout', '-text');
    expect(text).toContain('CA:FALSE');
    expect(text).not.toContain('evil');
    expect(await shop.openssl('x509', '-in', file, '-noout', '-serial')).toMatch(/^serial=[4-7][0-9A-F]{31}\n$/);
  });

  it('for a client has no server usage', async () => {
    const authority = await anAuthority();
    const { csrPem } = await shop.request('client');
    const certPem = await signRequest({ csrPem, authority, spec: { ...spec, usages: ['client'] }, now });
    const [ca, leaf] = [await shop.file('ca.pem', authority.certPem), await shop.file('leaf.pem', certPem)];
    await expect(shop.openssl('verify', '-purpose', 'sslserver', '-CAfile', ca, leaf)).rejects.toThrow();
  });

  it('never outlives its authority', async () => {
    const authority = await anAuthority({ lifetimeDays: 30 });
    const { csrPem } = await shop.request('short');
    const leaf = inspectCertificate(await signRequest({ csrPem, authority, spec, now }), now);
    expect(leaf.notAfter).toBe(inspectCertificate(authority.certPem, now).notAfter);
  });

  it('of the CLI itself is a client of that group for those hours', async () => {
    const authority = await anAuthority();
    const { certPem, keyPem } = await issueClient({ authority, cn: 'anna', o: ['slipway:admins'], hours: 8, now });
    const facts = inspectCertificate(certPem, now);
    expect(facts).toMatchObject({ subject: { cn: 'anna', o: ['slipway:admins'] }, usages: ['client'] });
    expect(Math.round((facts.notAfter - now) / 3_600_000)).toBe(8);
    const [ca, leaf, key] = [
      await shop.file('ca.pem', authority.certPem),
      await shop.file('leaf.pem', certPem),
      await shop.file('key.pem', keyPem),
    ];
    expect(await shop.openssl('verify', '-purpose', 'sslclient', '-CAfile', ca, leaf)).toContain('OK');
    expect(await shop.openssl('pkey', '-in', key, '-pubout')).toBe(await shop.openssl('x509', '-in', leaf, '-noout', '-pubkey'));
  });
});

describe('signing refuses', () => {
  const refusal = async (attempt: Promise<unknown>): Promise<string> => {
    const error = await attempt.then(
      () => undefined,
      (e: unknown) => e,
    );
    if (!(error instanceof Error)) throw new Error('it did not refuse');
    const text = `${error.message}\n${error.stack}\n${String(error.cause)}`;
    expect(text).not.toContain('PRIVATE KEY');
    return error.message;
  };

  it('a request that its own key did not sign', async () => {
    const authority = await anAuthority();
    const { csrPem } = await shop.request('forged');
    const der = Buffer.from(csrPem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
    const at = der.length - 5;
    der[at] = (der[at] ?? 0) ^ 1;
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(await refusal(signRequest({ csrPem: forged, authority, spec, now }))).toContain('not signed by its own key');
  });

  it('what is no request', async () => {
    const authority = await anAuthority();
    for (const csrPem of ['', 'hello', authority.certPem, authority.keyPem])
      expect(await refusal(signRequest({ csrPem, authority, spec, now }))).toContain('request');
  });

  it('keys that are not P-256', async () => {
    const authority = await anAuthority();
    const { csrPem } = await shop.request('rsa', ['-newkey', 'rsa:1024']);
    expect(await refusal(signRequest({ csrPem, authority, spec, now }))).toContain('not P-256');
  });

  it("an authority's certificate with another one's key", async () => {
    const [authority, other] = await Promise.all([anAuthority(), anAuthority()]);
    const { csrPem } = await shop.request('mixed');
    const mixed = { certPem: authority.certPem, keyPem: other.keyPem };
    expect(await refusal(signRequest({ csrPem, authority: mixed, spec, now }))).toContain('does not fit its key');
  });

  it('a damaged key, without a word of it', async () => {
    const authority = await anAuthority();
    const { csrPem } = await shop.request('damaged');
    const damaged = { certPem: authority.certPem, keyPem: authority.keyPem.replace('MIG', 'XXX') };
    expect(await refusal(signRequest({ csrPem, authority: damaged, spec, now }))).toBe('a private key cannot be read');
  });

  it('an authority that has expired, and names that are still variables', async () => {
    const old = await anAuthority({ now: now - 31 * day, lifetimeDays: 30 });
    const { csrPem } = await shop.request('late');
    expect(await refusal(signRequest({ csrPem, authority: old, spec, now }))).toContain('has expired');
    const open = { ...spec, subject: { cn: 'system:node:${NODE_NAME}' } };
    expect(await refusal(signRequest({ csrPem, authority: await anAuthority(), spec: open, now }))).toContain('${NODE_NAME}');
  });
});

describe('a certificate', () => {
  it('is due in the last third of its life, and expired after it', async () => {
    const authority = await anAuthority();
    const { certPem } = await issueClient({ authority, cn: 'anna', o: [], hours: 90 * 24, now });
    const at = (days: number, share?: number) => inspectCertificate(certPem, now + days * day, share).state;
    expect([at(0), at(59), at(61), at(89), at(91)]).toEqual(['fresh', 'fresh', 'due', 'due', 'expired']);
    expect([at(80, 0.1), at(82, 0.1), at(91, 0.1)]).toEqual(['fresh', 'due', 'expired']);
  });

  it('of openssl reads the same way: without key IDs, without names', async () => {
    const { csrPem, keyFile } = await shop.request('own');
    const csr = await shop.file('own.csr', csrPem);
    const pem = await shop.openssl('x509', '-req', '-in', csr, '-key', keyFile, '-days', '10');
    expect(inspectCertificate(pem, now)).toMatchObject({
      subject: { cn: 'evil', o: ['system:masters'] },
      sans: { dns: [], ip: [] },
      usages: [],
    });
    expect(() => inspectCertificate('no certificate', now)).toThrow();
  });
});
