import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { messageOf, UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Context, ResourceType } from '../../src/plan/resource.ts';
import type { LocalClients } from './clients.ts';
import { call, callMaybe, codeOf } from './docker.ts';
import { tarOf } from './tar.ts';
import { debian } from './template.ts';

export interface ImageProps {
  /** `slipway/machine:<digest of templates/machine>` */
  readonly tag: string;
}
export interface ImageOutputs {
  readonly tag: string;
  readonly id: string;
}
export const imageAddress = 'local.image/machine';

/** The machine image, shared by all clusters of this Docker: made once for each version of its template, and left when a cluster goes. */
export const image: ResourceType<ImageProps, ImageOutputs, LocalClients> = {
  name: 'local.image',
  timeoutMs: 900_000,
  async observe({ clients, signal }) {
    const found = await callMaybe(() => clients.docker.getImage(clients.template.tag).inspect(), { signal });
    const { tag } = clients.template;
    return new Map(found ? [[imageAddress, { state: 'present', props: { tag }, outputs: { tag, id: found.Id } }]] : []);
  },
  diff: fields<ImageProps>({ tag: 'none' }),
  create: (props, ctx) => build(props, ctx),
  update: (props, _outputs, ctx) => build(props, ctx),
};

async function build({ tag }: ImageProps, ctx: Context<LocalClients>): Promise<ImageOutputs> {
  const { docker, template } = ctx.clients;
  const base = await ensureBase(ctx);
  ctx.progress(`building ${tag} on ${base}`);
  const context = await tarOf(template.files);
  const stream = await call(
    () =>
      docker.buildImage(Readable.from([context]), { t: tag, buildargs: { BASE: base }, forcerm: true, abortSignal: ctx.signal }),
    ctx,
  );
  await follow(docker, stream, (line) => ctx.progress(line));
  const built = await call(() => docker.getImage(tag).inspect(), ctx);
  return { tag, id: built.Id };
}

const hubImage = 'debian:bookworm-slim';

/** The image to build on: what is there already, else from Docker Hub, else by mmdebstrap from Debian's own archive. */
async function ensureBase(ctx: Context<LocalClients>): Promise<string> {
  const { docker, template } = ctx.clients;
  for (const tag of [template.baseTag, hubImage]) if (await callMaybe(() => docker.getImage(tag).inspect(), ctx)) return tag;
  ctx.progress(`pulling ${hubImage}`);
  const failure = await pull(docker, ctx);
  if (failure === undefined) return hubImage;
  ctx.progress(`Docker Hub cannot be reached (${failure}): making the base with mmdebstrap from Debian's archive`);
  await debootstrap(ctx);
  return template.baseTag;
}

/** Undefined when it worked, else why not. A Docker Hub that says nothing for 10 s is taken as not reachable. */
async function pull(docker: Docker, ctx: Context<LocalClients>): Promise<string | undefined> {
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(new Error('no answer within 10 s')), 10_000);
  try {
    const stream = await docker.pull(hubImage, { abortSignal: AbortSignal.any([ctx.signal, silent.signal]) });
    await follow(docker, stream, (line) => {
      clearTimeout(timer);
      ctx.progress(line);
    });
    return undefined;
  } catch (error) {
    ctx.signal.throwIfAborted();
    return silent.signal.aborted ? messageOf(silent.signal.reason) : messageOf(error);
  } finally {
    clearTimeout(timer);
  }
}

async function debootstrap(ctx: Context<LocalClients>): Promise<void> {
  const { docker, template } = ctx.clients;
  const [repo = '', tag = ''] = template.baseTag.split(':');
  const child = spawn(
    'mmdebstrap',
    ['--variant=minbase', '--format=tar', `--include=${template.packages.join(',')}`, debian, '-'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: ctx.signal,
    },
  );
  const log: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    log.push(line);
    if (line.startsWith('I: ')) ctx.progress(line.slice(3));
  });
  const exit = once(child, 'exit');
  const imported = docker.importImage(child.stdout, { repo, tag });
  // Both are awaited below; until then a failure of either is not unhandled.
  exit.catch(() => undefined);
  imported.catch(() => undefined);
  try {
    const [code] = await exit;
    if (code !== 0) throw new Error(`mmdebstrap ended with ${code}`);
    await follow(docker, await imported, () => undefined);
  } catch (error) {
    ctx.signal.throwIfAborted();
    // An aborted or failed tar can still have become an image.
    await imported.then(() => docker.getImage(template.baseTag).remove({ force: true })).catch(() => undefined);
    throw new UserError({
      what: 'the base of the machine image cannot be made',
      why:
        codeOf(error) === 'ENOENT'
          ? 'neither can Docker pull from Docker Hub, nor is mmdebstrap there to make it from Debian packages'
          : [messageOf(error), ...log.slice(-5)].join('\n'),
      next: 'let Docker reach docker.io, or install mmdebstrap (apt-get install mmdebstrap) with access to deb.debian.org',
    });
  }
}

/** Reads one of Docker's progress streams to its end. Throws what the stream reports as an error, with the lines before it. */
function follow(docker: Docker, stream: NodeJS.ReadableStream, onLine: (line: string) => void): Promise<void> {
  const log: string[] = [];
  return new Promise((resolve, reject) => {
    docker.modem.followProgress(
      stream,
      (error: Error | null) => {
        if (!error) resolve();
        else
          reject(
            new UserError({
              what: 'Docker could not make the machine image',
              why: [...log.slice(-8), error.message].join('\n'),
              next: 'mend that and run the same command again',
            }),
          );
      },
      (event: unknown) => {
        const line = lineOf(event);
        if (line === undefined) return;
        log.push(line);
        onLine(line);
      },
    );
  });
}
function lineOf(event: unknown): string | undefined {
  if (typeof event !== 'object' || event === null) return undefined;
  if ('stream' in event && typeof event.stream === 'string') return event.stream.trim() || undefined;
  if ('status' in event && typeof event.status === 'string') return event.status;
  return undefined;
}
