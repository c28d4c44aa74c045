import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { identityCertificates } from '../../../providers/aws/identity-certificates.ts';
import { isSigned } from '../../../providers/aws/identity-document.ts';

const directory = mkdtempSync(join(tmpdir(), 'slipway-document-test-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const file = (name: string): string => join(directory, name);
const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] });

/** An RSA-2048 certificate as AWS has one a region. */
function signer(name: string): string {
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-noenc',
    '-keyout',
    file(`${name}.key`),
    '-out',
    file(`${name}.pem`),
    '-subj',
    `/O=${name}`,
  );
  return readFileSync(file(`${name}.pem`), 'utf8');
}
function sign(document: string, by: string, ...options: readonly string[]): string {
  writeFileSync(file('document'), document);
  const args = ['smime', '-sign', '-in', file('document'), '-signer', file(`${by}.pem`), '-inkey', file(`${by}.key`)];
  return openssl(...args, '-outform', 'PEM', '-binary', ...options)
    .toString()
    .replaceAll(/-----.*-----\n?/g, '');
}
const aws = signer('aws');
const other = signer('other');
const document = '{\n  "instanceId" : "i-0123456789abcdef0",\n  "region" : "eu-central-1"\n}';
const bytes = Buffer.from(document);
const { signal } = new AbortController();

describe('an instance identity document', () => {
  test('is genuine when AWS’s key has signed it, with the document inside of the signature or beside it', async () => {
    expect(await isSigned(bytes, sign(document, 'aws', '-nodetach', '-nocerts'), [aws], signal)).toBe(true);
    expect(await isSigned(bytes, sign(document, 'aws', '-nocerts'), [other, aws], signal)).toBe(true);
  });
  test('is not when a byte of it was changed, also where the signature holds the true one', async () => {
    const forged = Buffer.from(document.replace('i-0123456789abcdef0', 'i-0123456789abcdef1'));
    expect(await isSigned(forged, sign(document, 'aws', '-nodetach', '-nocerts'), [aws], signal)).toBe(false);
    expect(await isSigned(forged, sign(document, 'aws', '-nocerts'), [aws], signal)).toBe(false);
  });
  test('is not when somebody else has signed it, though he brings his certificate along', async () => {
    expect(await isSigned(bytes, sign(document, 'other', '-nodetach'), [aws], signal)).toBe(false);
  });
  test('is not without a signature, with rubbish for one, or without certificates to compare with', async () => {
    expect(await isSigned(bytes, '', [aws], signal)).toBe(false);
    expect(await isSigned(bytes, 'MIAGCSqGSIb3DQEHAqCAMIACAQ', [aws], signal)).toBe(false);
    expect(await isSigned(bytes, '-----END PKCS7-----', [aws], signal)).toBe(false);
    expect(await isSigned(bytes, sign(document, 'aws', '-nocerts'), [], signal)).toBe(false);
  });
});

describe('the certificates that come with Slipway', () => {
  test.each(Object.entries(identityCertificates))('of %s is whole: it is signed by its own key', (_, [pem = '']) => {
    const certificate = new X509Certificate(pem);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).toContain('O=Amazon Web Services LLC');
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });
});
