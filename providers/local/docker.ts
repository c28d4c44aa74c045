import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import { z } from 'zod';
import { exitCodes, messageOf, UnreachableError, UserError } from '../../src/errors.ts';

/** Where Docker listens. `host` is what DOCKER_HOST says; without it the usual socket. */
export function openDocker(host?: string): Docker {
  if (host === undefined || host === '') return new Docker({ socketPath: '/var/run/docker.sock' });
  const url = URL.parse(host);
  if (!url)
    throw new UserError(
      {
        what: `DOCKER_HOST is no address: ${host}`,
        next: 'set it to unix:///path/to/docker.sock, tcp://HOST:PORT or ssh://USER@HOST, or unset it',
      },
      exitCodes.config,
    );
  if (url.protocol === 'unix:') return new Docker({ socketPath: url.pathname });
  return new Docker({
    protocol: url.protocol === 'https:' ? 'https' : url.protocol === 'ssh:' ? 'ssh' : 'http',
    host: url.hostname,
    port: url.port || (url.protocol === 'ssh:' ? 22 : 2375),
    ...(url.username && { username: url.username }),
  });
}

/** Code of a system error (ENOENT) or undefined. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
/** HTTP status of Docker's answer or undefined. */
export const statusOf = (error: unknown): number | undefined =>
  error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;

/** What Docker said, without dockerode's preamble. */
export const textOf = (error: unknown): string =>
  messageOf(error)
    .replace(/^\(HTTP code \d+\) [^-]*- /, '')
    .trim();

const cutOff = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE']);
/** The daemon, or the containerd below it, is on its way down or up. */
const isCutOff = (error: unknown): boolean =>
  statusOf(error) === undefined
    ? cutOff.has(codeOf(error) ?? '') || /socket hang up/.test(messageOf(error))
    : /shutting down|transport is closing|containerd.sock.*connection refused/i.test(messageOf(error));

/**
 * One call of Docker's API. While the daemon restarts (refused, reset) it is repeated for up to `patienceMs`, so `ask` must be idempotent.
 * Throws UserError for what a person can mend, Docker's own error for the rest.
 */
export async function call<T>(ask: () => Promise<T>, { signal, patienceMs = 20_000 }: CallOptions = {}): Promise<T> {
  const until = performance.now() + patienceMs;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await ask();
    } catch (error) {
      if (!isCutOff(error) || performance.now() > until) throw explain(error);
      await sleep(200, undefined, signal ? { signal } : {});
    }
  }
}
export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly patienceMs?: number;
}

const answerWithinMs = 10_000;
const versionSchema = z.object({ ApiVersion: z.string(), Version: z.string(), Os: z.string() });

/** The first question to Docker, without patience: nothing has begun yet. Bounded and checked, since anything at all may listen there. */
export async function askVersion(docker: Docker, signal: AbortSignal): Promise<z.infer<typeof versionSchema>> {
  const next = 'see what listens at DOCKER_HOST (unset: /var/run/docker.sock); docker version should answer';
  const over = new AbortController();
  const late = sleep(answerWithinMs, undefined, { signal: AbortSignal.any([signal, over.signal]) }).then(() => {
    throw new UnreachableError({ what: `Docker gives no answer within ${answerWithinMs / 1000} s`, next });
  });
  try {
    return versionSchema.parse(await Promise.race([call(() => docker.version(), { signal, patienceMs: 0 }), late]));
  } catch (error) {
    signal.throwIfAborted();
    const cause = { cause: error };
    const status = statusOf(error);
    if (error instanceof z.ZodError || codeOf(error)?.startsWith('HPE_') || (status !== undefined && status < 500))
      throw new UnreachableError(
        { what: 'what listens there does not answer as Docker does', why: textOf(error).slice(0, 200), next },
        cause,
      );
    throw error;
  } finally {
    over.abort();
  }
}

/** The same, with undefined for what Docker does not know. */
export async function callMaybe<T>(ask: () => Promise<T>, options?: CallOptions): Promise<T | undefined> {
  try {
    return await call(ask, options);
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

const daemons = ['/usr/bin/dockerd', '/usr/sbin/dockerd', '/usr/local/bin/dockerd', '/snap/bin/dockerd'];
const notRunning = (why: string, cause: unknown): UnreachableError =>
  new UnreachableError(
    { what: "Docker's daemon is not running", why, next: 'start it: sudo systemctl start docker, or scripts/machine-setup' },
    { cause },
  );

/** Docker's errors in the words of somebody who can mend them. */
export function explain(error: unknown): unknown {
  if (error instanceof UserError) return error;
  const text = textOf(error);
  const cause = { cause: error };
  switch (statusOf(error) === undefined ? codeOf(error) : undefined) {
    case 'ENOENT':
      // dockerd takes its socket with it: what tells "absent" from "stopped" is the program.
      if (!daemons.some((path) => existsSync(path)))
        return new UnreachableError(
          {
            what: 'Docker is not installed',
            why: text,
            next: 'install it: scripts/machine-setup does that on Debian and Ubuntu; else see docs.docker.com/engine/install',
          },
          cause,
        );
      return notRunning(text, error);
    case 'ECONNREFUSED':
    case 'ECONNRESET':
    case 'EPIPE':
      return notRunning(text, error);
    case 'EACCES':
    case 'EPERM':
      return new UserError(
        {
          what: 'no permission to talk to Docker',
          why: text,
          next: 'add yourself to its group and log in again: sudo usermod -aG docker "$USER"; or run as root',
        },
        exitCodes.credentials,
        cause,
      );
  }
  if (/no space left on device/i.test(text)) {
    return new UserError(
      {
        what: "the disk of Docker's data is full",
        why: text,
        next: 'free space (docker system df, docker system prune), then run the same command again',
      },
      exitCodes.failed,
      cause,
    );
  }
  if (
    /port is already allocated|address already in use.*(listen|bind)|bind: address already in use|failed to bind (host )?port/i.test(
      text,
    )
  ) {
    return new UserError(
      {
        what: 'a port that is to be published is taken',
        why: text,
        next: 'set provider.local.apiPort or sshPort to a free port, or 0',
      },
      exitCodes.failed,
      cause,
    );
  }
  if (/unable to apply caps/i.test(text)) {
    return new UserError(
      {
        what: 'Docker may not give its containers the capabilities that a machine needs',
        why: text,
        next: 'run Docker with full capabilities (not rootless, not inside an unprivileged container)',
      },
      exitCodes.failed,
      cause,
    );
  }
  return error;
}
