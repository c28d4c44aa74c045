import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { extract } from 'tar-stream';
import { z } from 'zod';
import { UserError } from '../../src/errors.ts';
import { canonicalJson } from '../../src/plan/canonical.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, FieldChange, Observation, Resolved, ResourceType } from '../../src/plan/resource.ts';
import type { LocalClients } from './clients.ts';
import { boot } from './container.ts';
import { call, callMaybe } from './docker.ts';
import { label, ownedBy, propsIn, resourceIn } from './labels.ts';
import { containerName, createContainer, remove } from './machine.ts';
import { owned } from './owned.ts';
import { choosePort } from './ports.ts';
import { tarOf } from './tar.ts';

const madeWith = z.object({
  image: z.string(),
  network: z.string(),
  address: z.string(),
  port: z.int(),
  /** On 127.0.0.1; 0 for any. */
  publish: z.int(),
});
type MadeWith = z.infer<typeof madeWith>;
export interface BalancerProps extends MadeWith {
  /** Name → address of the masters. */
  readonly backends: Readonly<Record<string, string>>;
  readonly running: boolean;
}
export const balancerOutputs = z.object({
  id: z.string(),
  container: z.string(),
  state: z.string(),
  address: z.string(),
  /** On 127.0.0.1. */
  publishedPort: z.int(),
});
export type BalancerOutputs = z.infer<typeof balancerOutputs>;
export const balancerAddress = 'local.balancer/api';
const configPath = '/etc/haproxy/haproxy.cfg';

/** The API's balancer: haproxy in a container of the machine image, without systemd. Its config, in the container, is what it is observed by. */
export const balancer: ResourceType<BalancerProps, BalancerOutputs, LocalClients> = {
  name: 'local.balancer',
  dependsOn: ['local.image', 'local.network'],
  async observe(world) {
    const { containers } = await world.read(owned);
    const found = new Map<Address, Observation<BalancerProps, BalancerOutputs>>();
    for (const container of containers) {
      const address = resourceIn(container.Labels, 'local.balancer');
      if (address) found.set(address, await observation(world.clients.docker, container, world.signal));
    }
    return found;
  },
  diff: diffBalancer,
  create,
  async update(props, outputs, ctx) {
    const { docker } = ctx.clients;
    const found = await callMaybe(() => docker.getContainer(outputs.id).inspect(), ctx);
    const before = found && propsIn(found.Config.Labels, madeWith);
    const held = (of: MadeWith) => canonicalJson(Object.entries(madeWith.parse(of)).filter(([key]) => !ctx.hold.includes(key)));
    const now = found ? backendsIn(await readConfig(docker, found.Id, ctx.signal)) : {};
    const wanted = { ...props, backends: { ...pick(now, ctx.hold), ...props.backends } };
    if (!found || !before || held(props) !== held(before) || found.State.Status === 'created') {
      await remove(outputs, ctx);
      return create(wanted, ctx);
    }
    await putConfig(wanted, found.Id, ctx);
    // The master process reads the config again and hands its listening socket to a new worker: no connection is refused or cut.
    if (found.State.Status === 'running') await call(() => docker.getContainer(found.Id).kill({ signal: 'SIGUSR2' }), ctx);
    else if (found.State.Status === 'restarting') await call(() => docker.getContainer(found.Id).restart({ t: 0 }), ctx);
    else await boot(docker, found.Id, ctx);
    await expectRunning(docker, found.Id, ctx);
    return { ...outputs, state: 'running' };
  },
  delete: remove,
};

const differences = fields<BalancerProps>({
  image: 'restart',
  network: 'restart',
  address: 'restart',
  port: 'restart',
  publish: 'restart',
  backends: 'ignore',
  running: 'none',
});
/** A master comes in as soon as it is designed. One that is no longer designed leaves with its machine, which `upgrade` removes: until then it serves. */
export function diffBalancer(desired: Resolved<BalancerProps>, observed: Resolved<BalancerProps>): readonly FieldChange[] {
  const names = [...new Set([...Object.keys(observed.backends), ...Object.keys(desired.backends)])];
  return [
    ...differences(desired, observed),
    ...names.flatMap((name): FieldChange[] => {
      const [before, after] = [observed.backends[name] ?? null, desired.backends[name] ?? null];
      return before === after
        ? []
        : [
            {
              path: `${backendPath}${name}`,
              before,
              after,
              ...(after === null ? { impact: 'restart', note: 'it serves until its machine goes' } : { impact: 'none' }),
            },
          ];
    }),
  ];
}
const backendPath = 'backends.';
/** Those backends that this run must leave as they are. */
const pick = (backends: Readonly<Record<string, string>>, hold: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(backends).filter(([name]) => hold.includes(`${backendPath}${name}`)));

async function observation(
  docker: Docker,
  container: Docker.ContainerInfo,
  signal: AbortSignal,
): Promise<Observation<BalancerProps, BalancerOutputs>> {
  const { Id: id, Labels: labels, State: state } = container;
  const known = propsIn(labels, madeWith) ?? { image: '', network: '', address: '', port: 0, publish: 0 };
  const attached = Object.hasOwn(container.NetworkSettings.Networks, known.network);
  const backends = backendsIn(await readConfig(docker, id, signal));
  return {
    state: 'present',
    props: { ...known, network: attached ? known.network : '', backends, running: state === 'running' },
    outputs: {
      id,
      container: container.Names[0]?.slice(1) ?? id,
      state,
      address: known.address,
      publishedPort: Number(labels[label.port] ?? 0),
    },
  };
}

type Wanted = MadeWith & { readonly backends: Readonly<Record<string, string>> };

async function create(props: Wanted, ctx: Context<LocalClients>): Promise<BalancerOutputs> {
  const { docker, cluster } = ctx.clients;
  const made = madeWith.parse(props);
  const name = containerName(cluster, 'balancer');
  const published = await choosePort(made.publish, `${cluster} api`);
  const { id, there } = await createContainer(
    docker,
    {
      name,
      Hostname: 'balancer',
      Image: made.image,
      User: 'haproxy',
      Entrypoint: ['haproxy', '-W', '-db', '-f', configPath],
      StopSignal: 'SIGUSR1',
      StopTimeout: 2,
      Labels: { ...ownedBy(ctx.clients, ctx.address, made), [label.port]: String(published) },
      ExposedPorts: { [`${made.port}/tcp`]: {} },
      HostConfig: {
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        NetworkMode: made.network,
        PortBindings: { [`${made.port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: String(published) }] },
        RestartPolicy: { Name: 'unless-stopped' },
        LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
      },
      NetworkingConfig: { EndpointsConfig: { [made.network]: { IPAMConfig: { IPv4Address: made.address } } } },
    },
    ctx,
  );
  await putConfig(props, id, ctx);
  await boot(docker, id, ctx);
  await expectRunning(docker, id, ctx);
  const publishedPort = Number(there?.labels[label.port] ?? published);
  return { id, container: name, state: 'running', address: made.address, publishedPort };
}

/** haproxy that does not like its config or its limits ends within milliseconds. */
async function expectRunning(docker: Docker, id: string, ctx: Context<LocalClients>): Promise<void> {
  await sleep(150, undefined, { signal: ctx.signal });
  const container = docker.getContainer(id);
  const { State: state } = await call(() => container.inspect(), ctx);
  if (state.Status === 'running') return;
  const log = await call(() => container.logs({ stdout: true, stderr: true, tail: 5 }), ctx);
  throw new UserError({
    what: `the balancer does not run: its container is ${state.Status}`,
    where: ctx.address,
    why: plainLog(log),
    next: 'mend what it says and run the same command again',
  });
}
/** A log as Docker frames it: eight bytes (stream, three zeros, length) before each piece. */
function plainLog(log: Buffer): string {
  let text = '';
  for (let at = 0; at + 8 <= log.length; ) {
    const length = log.readUInt32BE(at + 4);
    text += log.toString('utf8', at + 8, at + 8 + length);
    at += 8 + length;
  }
  return text.trim();
}

async function putConfig(props: Wanted, id: string, ctx: Context<LocalClients>): Promise<void> {
  const archive = await tarOf([{ path: configPath.slice(1), content: await renderConfig(props), mode: 0o644 }]);
  await call(() => ctx.clients.docker.getContainer(id).putArchive(archive, { path: '/' }), ctx);
}

/** haproxy.cfg for those masters. */
export async function renderConfig({ port, backends }: Pick<BalancerProps, 'port' | 'backends'>): Promise<string> {
  const template = await readFile(new URL(import.meta.resolve('#templates/balancer/haproxy.cfg')), 'utf8');
  const servers = Object.entries(backends)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, address]) => `  server ${name} ${address}:${port}`);
  return template.replace('{{port}}', String(port)).replace('{{servers}}', servers.join('\n'));
}

/** The masters that a haproxy.cfg names. */
export const backendsIn = (config: string): Record<string, string> =>
  Object.fromEntries(
    [...config.matchAll(/^ {2}server (\S+) ([\d.]+):\d+$/gm)].map(([, name = '', address = '']) => [name, address]),
  );

/** Empty where there is none: a container whose run was killed before its config was in it. */
async function readConfig(docker: Docker, id: string, signal: AbortSignal): Promise<string> {
  const archive = await callMaybe(() => docker.getContainer(id).getArchive({ path: configPath }), { signal });
  if (!archive) return '';
  const entries = extract();
  archive.on('error', (error) => entries.destroy(error));
  archive.pipe(entries);
  for await (const entry of entries) return text(entry);
  return '';
}
