import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import type { Provider } from '../../src/provider.ts';
import { directoryStore } from '../../src/store/directory.ts';
import { access } from './access.ts';
import { balancer } from './balancer.ts';
import type { LocalClients } from './clients.ts';
import { design, machineAddress } from './design.ts';
import { openDocker } from './docker.ts';
import { hostFacts } from './host.ts';
import { image } from './image.ts';
import { machine } from './machine.ts';
import { network } from './network.ts';
import { readMachineTemplate } from './template.ts';
import { verify } from './verify.ts';
import { volume } from './volume.ts';

export interface LocalOptions {
  /** The cluster's name. */
  readonly cluster: string;
  /** Absolute: where clusters' records live. */
  readonly stateDirectory: string;
  /** Absolute: the asset cache, which machines see as /opt/slipway. */
  readonly assetDirectory: string;
  /** What DOCKER_HOST says. */
  readonly dockerHost?: string | undefined;
  /** Another Docker than that, for tests. */
  readonly docker?: Docker;
}

/** One Linux machine with Docker as the place where machines run. */
export async function openLocal(options: LocalOptions): Promise<Provider<LocalClients>> {
  const { cluster, stateDirectory, assetDirectory } = options;
  const docker = options.docker ?? openDocker(options.dockerHost);
  const template = await readMachineTemplate();
  const storeDirectory = join(stateDirectory, 'clusters', cluster);
  return {
    name: 'infrastructure',
    types: [image, network, volume, machine, balancer],
    delivery: 'mounted',
    async connect(_below, signal) {
      const host = await hostFacts(docker, signal);
      return { docker, cluster, owner: stateDirectory, assets: assetDirectory, template, host };
    },
    design: (topology) => design(topology, { image: template.tag, assets: assetDirectory }),
    machineAddress,
    access,
    async store(_cluster, { create }) {
      if (create) await mkdir(storeDirectory, { recursive: true, mode: 0o700 });
      else if (!(await exists(storeDirectory))) return undefined;
      return directoryStore(storeDirectory);
    },
    async removeStore() {
      await rm(storeDirectory, { recursive: true, force: true });
    },
    verify: (topology, signal) => verify(topology, { docker, cluster, owner: stateDirectory, assets: assetDirectory }, signal),
    // The balancer's checks: every 500 ms, one failure is enough; and what a check itself may take.
    leaveMs: () => 1000,
  };
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
