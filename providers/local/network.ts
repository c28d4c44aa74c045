import type Docker from 'dockerode';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Context, Observation, ResourceType } from '../../src/plan/resource.ts';
import type { LocalClients } from './clients.ts';
import { call, callMaybe, statusOf, textOf } from './docker.ts';
import { label, ownedBy, resourceIn } from './labels.ts';
import { owned } from './owned.ts';
import { automaticRange, overlaps } from './range.ts';

export interface NetworkProps {
  /** The machine range. */
  readonly subnet: string;
}
export interface NetworkOutputs {
  readonly id: string;
  readonly name: string;
}

/** One bridge network a cluster; its subnet is the machine range, and every machine has a fixed address in it. */
export const network: ResourceType<NetworkProps, NetworkOutputs, LocalClients> = {
  name: 'local.network',
  shrink: 'now',
  async observe(world) {
    const { networks } = await world.read(owned);
    const found = new Map<Address, Observation<NetworkProps, NetworkOutputs>>();
    for (const { Id: id, Name: name, Labels, IPAM } of networks) {
      const address = resourceIn(Labels, 'local.network');
      if (!address) continue;
      const subnet = IPAM?.Config?.[0]?.Subnet ?? '';
      found.set(address, { state: 'present', props: { subnet }, outputs: { id, name } });
    }
    return found;
  },
  diff: fields<NetworkProps>({ subnet: 'replace' }),
  create,
  // Docker can change nothing of a network, and only an empty one can be removed.
  async update(props, outputs, ctx) {
    await remove(outputs, ctx);
    return create(props, ctx);
  },
  delete: remove,
};

export const networkName = (cluster: string): string => `slipway-${cluster}`;

async function create(props: NetworkProps, ctx: Context<LocalClients>): Promise<NetworkOutputs> {
  const { docker, cluster } = ctx.clients;
  const name = networkName(cluster);
  const automatic = automaticRange(props.subnet);
  try {
    const made = await call(
      () =>
        docker.createNetwork({
          Name: name,
          CheckDuplicate: true,
          Driver: 'bridge',
          IPAM: { Driver: 'default', Config: [{ Subnet: props.subnet, ...(automatic && { IPRange: automatic }) }] },
          Labels: ownedBy(ctx.clients, ctx.address, props),
        }),
      ctx,
    );
    return { id: made.id, name };
  } catch (error) {
    if (statusOf(error) === 409) return adopt(name, props, ctx);
    if (/overlap/i.test(textOf(error))) throw await rangeTaken(docker, props.subnet, error);
    throw error;
  }
}

/** A killed run, or a call that was repeated, may have made it already. */
async function adopt(name: string, props: NetworkProps, ctx: Context<LocalClients>): Promise<NetworkOutputs> {
  const { docker, cluster } = ctx.clients;
  const found = await call(() => docker.getNetwork(name).inspect(), ctx);
  if (found.Labels?.[label.cluster] === cluster && found.IPAM?.Config?.[0]?.Subnet === props.subnet)
    return { id: found.Id, name };
  throw new UserError({
    what: `a Docker network ${name} exists, and it is not this cluster's`,
    where: name,
    next: `remove it (docker network rm ${name}) or give the cluster another name`,
  });
}

async function remove({ id }: NetworkOutputs, ctx: Context<LocalClients>): Promise<void> {
  await callMaybe(() => ctx.clients.docker.getNetwork(id).remove(), ctx).catch((error) => {
    if (!/active endpoints/.test(textOf(error))) throw error;
    throw new UserError({
      what: 'the network is still in use',
      where: ctx.address,
      why: textOf(error),
      next: `disconnect what is not this cluster's (docker network inspect ${networkName(ctx.clients.cluster)}), then run the same command again`,
    });
  });
}

async function rangeTaken(docker: Docker, subnet: string, cause: unknown): Promise<UserError> {
  const taken = await overlapping(docker, subnet).catch(() => []);
  return new UserError(
    {
      what: `the address range ${subnet} is taken`,
      where: 'network.machines',
      why: taken.length > 0 ? taken.map(({ name, range }) => `Docker network ${name} has ${range}`).join(', ') : textOf(cause),
      next: 'set network.machines in cluster.yaml to a range that nobody uses, such as 172.29.0.0/16, or remove that network',
    },
    undefined,
    { cause },
  );
}

/** Docker networks that overlap a range. */
export async function overlapping(docker: Docker, subnet: string): Promise<readonly { name: string; range: string }[]> {
  const networks = await docker.listNetworks();
  return networks.flatMap(({ Name: name, IPAM }) =>
    (IPAM?.Config ?? []).flatMap((config) => {
      const range = config.Subnet;
      return range?.includes('.') && overlaps(range, subnet) ? [{ name, range }] : [];
    }),
  );
}
