// Must come first: @peculiar/x509 needs this at its import. Both together cost 90 ms, so only those who sign load this file.
import 'reflect-metadata';
import { randomBytes, type webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { readPrivateKey } from './keys.ts';

export { x509 };

const p256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
export const signature = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** For signing with WebCrypto. */
export const signingKey = (privateKeyPem: string): webcrypto.CryptoKey =>
  readPrivateKey(privateKeyPem).toCryptoKey(p256, false, ['sign']);

/** 127 random bits, positive, always 16 bytes (RFC 5280, 4.1.2.2). */
export function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** Clocks differ: what is signed now must be valid on a host that is a little behind. */
export const backdatedMs = 5 * 60_000;
export const dayMs = 86_400_000;

/** A subject as RDNs, by parts: no parser sees the names. */
export const nameOf = ({ cn, o = [] }: { readonly cn: string; readonly o?: readonly string[] }): x509.Name =>
  new x509.Name([...o.map((organisation) => ({ O: [{ utf8String: organisation }] })), { CN: [{ utf8String: cn }] }]);
