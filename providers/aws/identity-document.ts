import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Whether one of these certificates' keys has signed the document. `signature` is what the metadata service gives as
 * dynamic/instance-identity/rsa2048: PKCS #7 in base64, without the lines around it. By openssl, as AWS documents it (Verify the instance
 * identity document); `-nointern`: a certificate that the sender brings along counts for nothing.
 */
export async function isSigned(
  document: Uint8Array,
  signature: string,
  certificates: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  const base64 = signature.replaceAll(/\s/g, '');
  if (certificates.length === 0 || base64.length > 20_000 || !/^[A-Za-z0-9+/]+=*$/.test(base64)) return false;
  const directory = await mkdtemp(join(tmpdir(), 'slipway-document-'));
  try {
    const file = async (name: string, content: string | Uint8Array): Promise<string> => {
      await writeFile(join(directory, name), content, { mode: 0o600 });
      return join(directory, name);
    };
    const lines = base64.match(/.{1,64}/g) ?? [];
    const args = [
      ...['smime', '-verify', '-inform', 'PEM', '-binary', '-noverify', '-nointern'],
      ...['-in', await file('signature', `-----BEGIN PKCS7-----\n${lines.join('\n')}\n-----END PKCS7-----\n`)],
      ...['-content', await file('document', document)],
      ...['-certfile', await file('certificates', `${certificates.join('\n')}\n`)],
      ...['-out', join(directory, 'out')],
    ];
    return await succeeds('openssl', args, signal);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** False: openssl ran, and says no. Throws where there is no openssl, and on abort. */
const succeeds = (program: string, args: readonly string[], signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve, reject) => {
    execFile(program, args, { signal, timeout: 10_000 }, (error) => {
      if (error === null) resolve(true);
      else if (typeof error.code === 'number') resolve(false);
      else reject(error);
    });
  });
