import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Workshop {
  file(name: string, content: string): Promise<string>;
  /** Standard output; throws with what openssl said. */
  openssl(...args: readonly string[]): Promise<string>;
  /** As a host makes it: the key stays in the workshop. */
  request(name: string, newkey?: readonly string[]): Promise<{ csrPem: string; keyFile: string }>;
  close(): Promise<void>;
}

/** A directory and the real openssl. */
export async function workshop(): Promise<Workshop> {
  const root = await mkdtemp(join(tmpdir(), 'slipway-pki-'));
  const openssl = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)('openssl', args, { cwd: root })).stdout;
  return {
    openssl,
    async file(name, content) {
      await writeFile(join(root, name), content, { mode: 0o600 });
      return join(root, name);
    },
    async request(name, newkey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']) {
      const keyFile = join(root, `${name}-key.pem`);
      const csrPem = await openssl('req', '-new', ...newkey, '-nodes', '-keyout', keyFile, '-subj', '/O=system:masters/CN=evil');
      return { csrPem, keyFile };
    },
    close: () => rm(root, { recursive: true, force: true }),
  };
}
