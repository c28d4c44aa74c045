import { z } from 'zod';
import { UserError } from '../../src/errors.ts';
import { fields } from '../../src/plan/fields.ts';
import { type Address, nameOf, type Observation, type ResourceType } from '../../src/plan/resource.ts';
import type { LocalClients } from './clients.ts';
import { call, callMaybe } from './docker.ts';
import { label, ownedBy, propsIn, resourceIn } from './labels.ts';
import { owned } from './owned.ts';

const propsSchema = z.object({ machine: z.string() });
/** `machine` is the one it belongs to. */
export type VolumeProps = z.infer<typeof propsSchema>;
export interface VolumeOutputs {
  readonly name: string;
}

/** One etcd member's data. It outlives its machine, and goes only where loss of data was allowed. */
export const volume: ResourceType<VolumeProps, VolumeOutputs, LocalClients> = {
  name: 'local.volume',
  shrink: 'data-loss',
  async observe(world) {
    const { volumes } = await world.read(owned);
    const found = new Map<Address, Observation<VolumeProps, VolumeOutputs>>();
    for (const { Name: name, Labels } of volumes) {
      const address = resourceIn(Labels, 'local.volume');
      const props = propsIn(Labels, propsSchema);
      if (address && props) found.set(address, { state: 'present', props, outputs: { name } });
    }
    return found;
  },
  diff: fields<VolumeProps>({ machine: 'data-loss' }),
  async create(props, ctx) {
    const { docker, cluster } = ctx.clients;
    const name = volumeName(cluster, nameOf(ctx.address));
    // Docker gives back a volume of that name if there is one, whoever's it is.
    const there = await callMaybe(() => docker.getVolume(name).inspect(), ctx);
    if (there && there.Labels?.[label.resource] !== ctx.address) {
      throw new UserError({
        what: `a Docker volume ${name} exists, and it is not this cluster's`,
        where: ctx.address,
        next: `remove it if nobody needs its data (docker volume rm ${name}), or give the cluster another name`,
      });
    }
    if (!there) await call(() => docker.createVolume({ Name: name, Labels: ownedBy(ctx.clients, ctx.address, props) }), ctx);
    return { name };
  },
  async update() {
    throw new UserError({
      what: 'a volume of an older cluster of the same name is in the way',
      next: 'remove that cluster first: cluster down --allow-data-loss',
    });
  },
  async delete({ name }, ctx) {
    await callMaybe(() => ctx.clients.docker.getVolume(name).remove(), ctx);
  },
};

/** `demo-etcd-a.main` */
export const volumeName = (cluster: string, name: string): string => `${cluster}-${name}`;
