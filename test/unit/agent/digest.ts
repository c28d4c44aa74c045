import { createHash } from 'node:crypto';

export const publicKeyDigest = (spki: Uint8Array): string => createHash('sha256').update(spki).digest('hex');
