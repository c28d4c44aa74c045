import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, UserError } from '../errors.ts';
import { sha256Of } from './cache.ts';
import type { Answer, Http } from './http.ts';

/** `of` is 0 where the server does not say. */
export type OnBytes = (bytes: { readonly done: number; readonly of: number }) => void;

/** A source that cannot serve an asset: the next source is tried. */
export class NotServed extends Error {}

/** Node's own errors of several addresses have no message, only a code. */
const reasonOf = (error: unknown): string =>
  error instanceof Error && error.message === '' && 'code' in error ? String(error.code) : messageOf(error);

const attempts = 4;

/** How long to wait, in milliseconds. */
export interface Patience {
  /** For any answer of a server at all. */
  readonly reachMs: number;
  /** For an answer to begin, and for it to go on. */
  readonly answerMs: number;
  /** Before the second attempt; doubled each time. */
  readonly retryMs: number;
}
const usual: Patience = { reachMs: 3_000, answerMs: 30_000, retryMs: 250 };

/** HTTP for one run. What could not be reached once is not tried again. */
export interface Web {
  /** A small text, such as a checksum file. Throws NotServed. */
  readonly text: (url: string, signal: AbortSignal, headers?: Readonly<Record<string, string>>) => Promise<string>;
  /** Fetches to `file`, going on where an earlier attempt ended. Throws NotServed; UserError when the bytes are not those of `sha256`. */
  readonly file: (url: string, sha256: string, file: string, signal: AbortSignal, onBytes?: OnBytes) => Promise<void>;
}

/** Ends the body when nothing has come for `ms`, however long the whole takes. */
async function* notStalling(body: IncomingMessage, ms: number, seen: (chunk: Buffer) => void): AsyncGenerator<Buffer> {
  const expire = () => body.destroy(new Error(`no data for ${ms / 1000} s`));
  let timer = setTimeout(expire, ms);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      timer = setTimeout(expire, ms);
      seen(chunk);
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
  }
}

const worthRetrying = (status: number): boolean => status === 408 || status === 429 || status >= 500;

/** Opens the web for one run. */
export function openWeb(http: Http, patience: Partial<Patience> = {}): Web {
  const { reachMs, answerMs, retryMs } = { ...usual, ...patience };
  const origins = new Map<string, Promise<string | undefined>>();

  /** The reason why an origin cannot be reached, or undefined: any answer at all will do. */
  const reach = (origin: string): Promise<string | undefined> => {
    const known = origins.get(origin);
    if (known) return known;
    const asked = http(origin, { method: 'HEAD', signal: AbortSignal.timeout(reachMs) }).then(
      ({ body }) => {
        body.destroy();
        return undefined;
      },
      (error: unknown) => reasonOf(error),
    );
    origins.set(origin, asked);
    return asked;
  };

  async function request(url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const { origin } = new URL(url);
    const unreachable = await reach(origin);
    signal.throwIfAborted();
    if (unreachable !== undefined) throw new NotServed(`${origin} cannot be reached: ${unreachable}`);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`no answer for ${answerMs / 1000} s`)), answerMs);
    try {
      return await http(url, {
        headers: { 'user-agent': 'slipway', ...headers },
        signal: AbortSignal.any([signal, late.signal]),
      });
    } catch (error) {
      throw late.signal.aborted ? late.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  async function retrying<T>(url: string, signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    let failure: unknown;
    for (let tries = 0; tries < attempts; tries++) {
      if (tries > 0) await sleep(retryMs * 2 ** (tries - 1), undefined, { signal });
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof NotServed || error instanceof UserError) throw error;
        failure = error;
      }
    }
    throw new NotServed(`${url}: ${reasonOf(failure)} (${attempts} attempts)`);
  }

  async function answered(url: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const answer = await request(url, headers, signal);
    if ((answer.status >= 200 && answer.status < 300) || answer.status === 416) return answer;
    answer.body.destroy();
    if (worthRetrying(answer.status)) throw new Error(`answered ${answer.status}`);
    throw new NotServed(`${url} answered ${answer.status}`);
  }

  async function continueFile(url: string, part: string, signal: AbortSignal, onBytes?: OnBytes): Promise<void> {
    const had = (await stat(part).catch(() => undefined))?.size ?? 0;
    const answer = await answered(url, had > 0 ? { range: `bytes=${had}-` } : {}, signal);
    if (answer.status === 416) {
      // As long as the whole, or longer: the digest decides.
      answer.body.destroy();
      return;
    }
    const goesOn = answer.status === 206 && answer.headers['content-range']?.startsWith(`bytes ${had}-`);
    if (answer.status === 206 && !goesOn) {
      answer.body.destroy();
      await rm(part, { force: true });
      throw new Error(`answered with another range than asked: ${answer.headers['content-range']}`);
    }
    let done = goesOn ? had : 0;
    const length = Number(answer.headers['content-length'] ?? 0);
    const of = length > 0 ? done + length : 0;
    const counted = notStalling(answer.body, answerMs, (chunk) => {
      done += chunk.length;
      onBytes?.({ done, of });
    });
    await pipeline(counted, createWriteStream(part, { flags: goesOn ? 'a' : 'w' }), { signal });
    if (of > 0 && done < of) throw new Error(`ended after ${done} of ${of} bytes`);
  }

  return {
    text: (url, signal, headers = {}) =>
      retrying(url, signal, async () => {
        const { body } = await answered(url, headers, signal);
        const chunks: Buffer[] = [];
        for await (const chunk of notStalling(body, answerMs, () => {})) chunks.push(chunk);
        return Buffer.concat(chunks).toString();
      }),

    async file(url, sha256, file, signal, onBytes) {
      await mkdir(dirname(file), { recursive: true });
      for (const last of [false, true]) {
        const resumed = (await stat(file).catch(() => undefined)) !== undefined;
        await retrying(url, signal, () => continueFile(url, file, signal, onBytes));
        const got = await sha256Of(file, signal);
        if (got === sha256) return;
        await rm(file, { force: true });
        // Bytes of an earlier attempt may be to blame: once more from the start.
        if (!resumed || last) throw wrongDigest(url, sha256, got);
      }
    },
  };
}

/** What is said where bytes are not those that were promised. Never falls back to another source: someone should know. */
export const wrongDigest = (where: string, expected: string, got: string): UserError =>
  new UserError({
    what: 'What was fetched is not what its checksum says',
    where,
    why: `expected sha256 ${expected}, got ${got}`,
    next: 'Fetch again; if it stays so, do not use this source: `cluster assets build` makes the asset from source',
  });

/** The digest of one file out of a checksum file: lines of `sha256sum`, or a digest alone. */
export function digestFrom(sums: string, name: string): string | undefined {
  const lines = sums.split('\n').map((line) => line.trim());
  for (const line of lines) {
    const [, digest, path] = /^([0-9a-f]{64})[ \t]+\*?(?:\.\/)?(.+)$/i.exec(line) ?? [];
    if (digest && path === name) return digest.toLowerCase();
  }
  const [only, ...others] = lines.filter((line) => line !== '');
  return only && others.length === 0 && /^[0-9a-f]{64}$/i.test(only) ? only.toLowerCase() : undefined;
}

/** The SHA-256 of bytes at hand, in hex. */
export const sha256OfBytes = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
