import type Docker from 'dockerode';
import { exitCodes, UserError } from '../../src/errors.ts';
import type { LocalClients } from './clients.ts';
import { call } from './docker.ts';
import { filterOf, type Labels, label } from './labels.ts';

export interface Owned {
  readonly containers: readonly Docker.ContainerInfo[];
  readonly networks: readonly Docker.NetworkInspectInfo[];
  readonly volumes: readonly Docker.VolumeInspectInfo[];
}

/** Everything that Docker holds of this cluster: the query that all types share, through `world.read`. */
export async function owned({ docker, cluster, owner }: LocalClients, signal: AbortSignal): Promise<Owned> {
  const filters = filterOf(cluster);
  const [containers, networks, { Volumes: volumes }] = await Promise.all([
    call(() => docker.listContainers({ all: true, filters }), { signal }),
    call(() => docker.listNetworks({ filters }), { signal }),
    call(() => docker.listVolumes({ filters }), { signal }),
  ]);
  const found = { containers, networks, volumes: volumes ?? [] };
  const labels: (Labels | undefined)[] = [...containers, ...networks, ...found.volumes].map((thing) => thing.Labels);
  const other = labels.map((of) => of?.[label.owner]).find((of) => of !== undefined && of !== owner);
  if (other !== undefined) {
    throw new UserError(
      {
        what: `another cluster of that name runs on this Docker`,
        where: cluster,
        why: `its records are in ${other}, yours in ${owner}`,
        next: 'give this cluster another name in cluster.yaml, or work on that one with XDG_STATE_HOME set to where its records are',
      },
      exitCodes.config,
    );
  }
  return found;
}
