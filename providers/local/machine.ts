import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { z } from 'zod';
import { UserError } from '../../src/errors.ts';
import { canonicalJson } from '../../src/plan/canonical.ts';
import { fields } from '../../src/plan/fields.ts';
import { type Address, type Context, nameOf, type Observation, type Ref, type ResourceType } from '../../src/plan/resource.ts';
import type { LocalClients } from './clients.ts';
import { boot, machineContainer } from './container.ts';
import { call, callMaybe, explain, statusOf, textOf } from './docker.ts';
import { makeHostKey } from './host-key.ts';
import { label, ownedBy, propsIn, resourceIn } from './labels.ts';
import { owned } from './owned.ts';
import { choosePort } from './ports.ts';

/** What only creation can set. */
const madeWith = z.object({
  image: z.string(),
  network: z.string(),
  address: z.string(),
  role: z.enum(['bastion', 'etcd', 'master', 'worker']),
  zone: z.string(),
  /** Where in the machine → name of the Docker volume. */
  volumes: z.record(z.string(), z.string()),
  /** `name:address`: what a machine must find without DNS. */
  hosts: z.array(z.string()).readonly(),
  /** The asset cache on this host, which is /opt/slipway there. */
  assets: z.string(),
  /** SSH on 127.0.0.1: a port, 0 for any, null for none. */
  sshPort: z.int().nullable(),
});
export type MadeWith = z.infer<typeof madeWith>;
export interface MachineProps extends MadeWith {
  readonly running: boolean;
  /** `ssh-ed25519 AAAA...`: who may log in. */
  readonly authorizedKey: Ref<string>;
}
export const machineOutputs = z.object({
  id: z.string(),
  container: z.string(),
  /** Docker's word: created, running, exited, ... */
  state: z.string(),
  address: z.string(),
  role: madeWith.shape.role,
  /** Pinned: `ssh-ed25519 AAAA...` */
  hostKey: z.string(),
  /** Published on 127.0.0.1. */
  sshPort: z.int().nullable(),
});
export type MachineOutputs = z.infer<typeof machineOutputs>;

/** A machine: a Debian container with systemd and sshd, at a fixed address. */
export const machine: ResourceType<MachineProps, MachineOutputs, LocalClients> = {
  name: 'local.machine',
  dependsOn: ['local.image', 'local.network', 'local.volume'],
  async observe(world) {
    const { containers } = await world.read(owned);
    const found = new Map<Address, Observation<MachineProps, MachineOutputs>>();
    for (const container of containers) {
      const address = resourceIn(container.Labels, 'local.machine');
      if (address) found.set(address, observation(container));
    }
    return found;
  },
  diff: fields<MachineProps>({
    image: 'replace',
    network: 'replace',
    address: 'replace',
    role: 'replace',
    zone: 'replace',
    volumes: 'replace',
    hosts: 'replace',
    assets: 'replace',
    sshPort: 'replace',
    running: 'none',
    authorizedKey: 'ignore',
  }),
  create,
  async update(props, outputs, ctx) {
    const { docker } = ctx.clients;
    const found = await callMaybe(() => docker.getContainer(outputs.id).inspect(), ctx);
    const before = found && propsIn(found.Config.Labels, madeWith);
    if (!found || !before || mustBeRemade(props, before, ctx.hold) || !canBeStarted(found.State.Status)) {
      await remove(outputs, ctx);
      return create(props, ctx);
    }
    if (found.State.Paused) await call(() => docker.getContainer(outputs.id).unpause(), ctx);
    else await boot(docker, found.Id, ctx);
    return { ...outputs, state: 'running' };
  },
  delete: remove,
};

function observation(container: Docker.ContainerInfo): Observation<MachineProps, MachineOutputs> {
  const { Id: id, Labels: labels, State: state } = container;
  const props = propsIn(labels, madeWith);
  const name = container.Names[0]?.slice(1) ?? id;
  const port = Number(labels[label.port] ?? 0);
  // A container of another version of this program is ours all the same: it differs in everything, so it is replaced, by `upgrade`.
  const known = props ?? {
    image: '',
    network: '',
    address: '',
    role: 'worker',
    zone: '',
    volumes: {},
    hosts: [],
    assets: '',
    sshPort: null,
  };
  const attached = Object.hasOwn(container.NetworkSettings.Networks, known.network);
  return {
    state: 'present',
    props: { ...known, network: attached ? known.network : '', running: state === 'running', authorizedKey: '' },
    outputs: {
      id,
      container: name,
      state,
      address: known.address,
      role: known.role,
      hostKey: labels[label.hostKey] ?? '',
      sshPort: port > 0 ? port : null,
    },
  };
}

/** Created and never started: its run was killed before the host key was in it. Dead, removing: Docker failed half-way. */
const canBeStarted = (status: string): boolean => !['created', 'dead', 'removing'].includes(status);

function mustBeRemade(desired: object, before: MadeWith, hold: readonly string[]): boolean {
  const wanted = madeWith.parse(desired);
  const parts = (of: MadeWith) => canonicalJson(Object.entries(of).filter(([key]) => !hold.includes(key)));
  return parts(wanted) !== parts(before);
}

type Wanted = MadeWith & { readonly authorizedKey: string };

async function create(props: Wanted, ctx: Context<LocalClients>): Promise<MachineOutputs> {
  const { docker, cluster } = ctx.clients;
  const name = nameOf(ctx.address);
  const made = madeWith.parse(props);
  await mkdir(made.assets, { recursive: true });
  const hostKey = await makeHostKey(`${cluster}-${name}`);
  const port = made.sshPort === null ? undefined : await choosePort(made.sshPort, `${cluster} ssh`);
  const container = containerName(cluster, name);
  const labels = {
    ...ownedBy(ctx.clients, ctx.address, made),
    [label.hostKey]: hostKey.publicKey,
    ...(port !== undefined && { [label.port]: String(port) }),
  };
  const spec = machineContainer({ name, container, props: made, labels, port, host: ctx.clients.host });
  const { id, there } = await createContainer(docker, spec, ctx);
  const outputs = { id, container, state: 'running', address: made.address, role: made.role, sshPort: port ?? null };
  if (there) {
    await boot(docker, id, ctx);
    return { ...outputs, hostKey: there.labels[label.hostKey] ?? '', sshPort: Number(there.labels[label.port] ?? 0) || null };
  }
  await boot(docker, id, ctx, { hostKey: hostKey.privateKey, authorizedKey: props.authorizedKey, role: made.role });
  return { ...outputs, hostKey: hostKey.publicKey };
}

/**
 * Creates a container of that name, or finds the one that a killed run or a repeated call left: never started, it is made again;
 * started, it is `there`. Anybody else's is an error.
 */
export async function createContainer(
  docker: Docker,
  spec: Docker.ContainerCreateOptions & { readonly name: string },
  ctx: Context<LocalClients>,
): Promise<{ id: string; there?: { labels: Record<string, string> } }> {
  for (let attempt = 1; ; attempt++) {
    try {
      // dockerode writes into what it is given.
      const made = await call(() => docker.createContainer(structuredClone(spec)), ctx);
      return { id: made.id };
    } catch (error) {
      if (statusOf(error) !== 409 || attempt > 3) throw error;
      const found = await callMaybe(() => docker.getContainer(spec.name).inspect(), ctx);
      if (!found) continue;
      const labels = found.Config.Labels;
      const ours = [label.cluster, label.owner, label.resource].every((key) => labels[key] === spec.Labels?.[key]);
      if (!ours) {
        throw new UserError({
          what: `a container ${spec.name} exists, and it is not this cluster's`,
          where: ctx.address,
          why: textOf(error),
          next: `remove it (docker rm -f ${spec.name}) or give the cluster another name`,
        });
      }
      if (canBeStarted(found.State.Status) && labels[label.props] === spec.Labels?.[label.props])
        return { id: found.Id, there: { labels } };
      await remove({ id: found.Id }, ctx);
    }
  }
}

/** Killed at once, with its anonymous volumes: what is worth a clean stop was stopped before, and etcd's volumes are not among them. */
export async function remove({ id }: { readonly id: string }, ctx: Context<LocalClients>): Promise<void> {
  const container = ctx.clients.docker.getContainer(id);
  for (let attempt = 1; ; attempt++) {
    try {
      await callMaybe(() => container.remove({ force: true, v: true }), ctx);
      return;
    } catch (error) {
      // 409: somebody else is removing it already; gone when their call is done.
      if (statusOf(error) !== 409 || attempt > 50) throw explain(error);
      await sleep(100, undefined, { signal: ctx.signal });
    }
  }
}

export const containerName = (cluster: string, name: string): string => `${cluster}-${name}`;
