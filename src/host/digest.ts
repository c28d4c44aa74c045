import { createHash, createHmac } from 'node:crypto';

export const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');

/** How a secret is shown in plans: comparable within one cluster, and no oracle for its content. `of` is the plain sha256 in hex. */
export const keyedDigest = (uid: string, of: string): string => createHmac('sha256', uid).update(of).digest('hex');

/** A trust file: each certificate ends in a newline. */
export const joinPem = (certificates: readonly string[]): string => certificates.map((pem) => `${pem.trimEnd()}\n`).join('');
