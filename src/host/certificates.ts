import { X509Certificate } from 'node:crypto';
import type { CertificateSpec } from '../components/bundle.ts';
import { mustSucceed } from './converge.ts';
import type { Host } from './host.ts';
import { pathsOf } from './manifest.ts';
import { quote } from './quote.ts';
import { script } from './scripts.ts';

/** What the host has to know of a certificate. */
export type CertificateFiles = Pick<CertificateSpec, 'name' | 'files' | 'owner'>;
export interface IssuedCertificate {
  readonly spec: CertificateFiles;
  /** May have a chain after it. */
  readonly certPem: string;
}

/**
 * Makes the keys that are missing on the host (P-256, 0600), and returns a signing request for each: the proof that the host holds
 * the key. What the certificate says is the caller's to decide; the request's subject means nothing. Calls for one host within a few
 * milliseconds go as one SSH command, so a resource a certificate costs no round trip of its own.
 */
export async function requestCertificates(host: Host, specs: readonly CertificateFiles[]): Promise<Map<string, string>> {
  const answers = await Promise.all(specs.map((spec) => batchesOf(host).requests(spec)));
  return new Map(specs.map((spec, index) => [spec.name, answers[index] ?? '']));
}

/** Writes certificates beside their keys (or into one file with them). Coalesced as requests are. Throws when one does not fit its key. */
export async function installCertificates(host: Host, certificates: readonly IssuedCertificate[]): Promise<void> {
  await Promise.all(certificates.map((certificate) => batchesOf(host).installs(certificate)));
}

interface Batches {
  readonly requests: (spec: CertificateFiles) => Promise<string>;
  readonly installs: (certificate: IssuedCertificate) => Promise<void>;
}
const batches = new WeakMap<Host, Batches>();
function batchesOf(host: Host): Batches {
  let made = batches.get(host);
  if (!made) {
    // The public key that each request proved: a certificate for it needs no openssl on the host to see that it fits.
    const proved = new Map<string, string>();
    made = {
      requests: batched((specs) => request(host, specs, proved)),
      installs: batched((certificates) => install(host, certificates, proved)),
    };
    batches.set(host, made);
  }
  return made;
}

const gatherMs = 4;
/** Gathers the calls of a few milliseconds into one of `send`, whose results are in the order of its items. */
export function batched<Item, Result>(
  send: (items: readonly Item[]) => Promise<readonly Result[]>,
): (item: Item) => Promise<Result> {
  let waiting: { item: Item; resolve: (result: Result) => void; reject: (error: unknown) => void }[] = [];
  const flush = async () => {
    const batch = waiting;
    waiting = [];
    try {
      const results = await send(batch.map(({ item }) => item));
      for (const [index, { resolve, reject }] of batch.entries()) {
        const result = results.at(index);
        if (index >= results.length) reject(new Error('no result for one item of a batch'));
        else resolve(result as Result);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  };
  return (item) => {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    if (waiting.length === 0) setTimeout(() => void flush(), gatherMs);
    waiting.push({ item, resolve, reject });
    return promise;
  };
}

const wordsOf = ({ name, files, owner = 'root' }: CertificateFiles): readonly string[] => [name, ...pathsOf(files), owner];

async function request(host: Host, specs: readonly CertificateFiles[], proved: Map<string, string>): Promise<readonly string[]> {
  const calls = specs.map((spec) => `request ${wordsOf(spec).map(quote).join(' ')}\n`);
  const result = await host.exec('sh -s', { stdin: `${await script('converge')}\n${calls.join('')}`, timeoutMs: 30_000 });
  mustSucceed(host.name, 'keys could not be made', result);
  const answers = new Map(
    result.stdout
      .split(/^request /m)
      .slice(1)
      .map((answer) => [answer.slice(0, answer.indexOf('\n')), answer]),
  );
  return specs.map(({ name }) => {
    const answer = answers.get(name) ?? '';
    const [csr] = /-----BEGIN CERTIFICATE REQUEST-----[^-]+-----END CERTIFICATE REQUEST-----\n/.exec(answer) ?? [];
    const [key] = /-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----\n/.exec(answer) ?? [];
    if (csr === undefined || key === undefined) throw new Error(`${host.name}: no signing request of ${name}`);
    proved.set(name, key);
    return csr;
  });
}

async function install(
  host: Host,
  certificates: readonly IssuedCertificate[],
  proved: ReadonlyMap<string, string>,
): Promise<readonly undefined[]> {
  const calls = certificates.map(({ spec, certPem }) => {
    const known = proved.get(spec.name);
    const own = new X509Certificate(certPem).publicKey.export({ type: 'spki', format: 'pem' });
    if (known !== undefined && known !== own) throw new Error(`${host.name}: the certificate ${spec.name} is for another key`);
    const words = [...wordsOf(spec), known === undefined ? 'unchecked' : 'checked', `${certPem.trimEnd()}\n`];
    return `install ${words.map(quote).join(' ')}\n`;
  });
  const stdin = `${await script('converge')}\n${calls.join('')}converge_installed\n`;
  const result = await host.exec('sh -s', { stdin, timeoutMs: 30_000 });
  mustSucceed(host.name, 'certificates could not be installed', result);
  return certificates.map(() => undefined);
}
