import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import type { LocalClients } from '../../providers/local/clients.ts';
import { openDocker } from '../../providers/local/docker.ts';
import { type HostKey, makeHostKey } from '../../providers/local/host-key.ts';
import { openLocal } from '../../providers/local/provider.ts';
import { versionsFor } from '../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../src/cluster/design.ts';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Finding } from '../../src/config/finding.ts';
import type { ClusterInput } from '../../src/config/schema.ts';
import type { Endpoint } from '../../src/host/host.ts';
import type { Policy } from '../../src/plan/choose.ts';
import { makePlan } from '../../src/plan/make.ts';
import { ObservedMap } from '../../src/plan/observed.ts';
import type { Plan } from '../../src/plan/plan.ts';
import type { Layer, Resource } from '../../src/plan/resource.ts';
import type { Provider } from '../../src/provider.ts';
import { type Connected, connectAll, observe } from '../../src/run/observe.ts';
import { run } from '../../src/run/runner.ts';
import { aCluster } from './builders.ts';

/** The infrastructure of one cluster on the real Docker, driven by the real engine, without anything above it. */
export class LocalLab {
  readonly name: string;
  readonly docker = openDocker(process.env.DOCKER_HOST);
  readonly seen = new ObservedMap();
  readonly progress: string[] = [];
  readonly #directory: string;
  readonly provider: Provider<LocalClients>;
  readonly key: HostKey;
  #connected: readonly Connected[] = [];

  private constructor(name: string, directory: string, provider: Provider<LocalClients>, key: HostKey) {
    this.name = name;
    this.#directory = directory;
    this.provider = provider;
    this.key = key;
  }
  static async open(name: string): Promise<LocalLab> {
    const directory = await mkdtemp(join(tmpdir(), `${name}-`));
    const provider = await openLocal({
      cluster: name,
      stateDirectory: directory,
      assetDirectory: join(directory, 'assets'),
      dockerHost: process.env.DOCKER_HOST,
    });
    return new LocalLab(name, directory, provider, await makeHostKey('test'));
  }

  topology(over: Partial<ClusterInput> = {}): Topology {
    return designTopology(aCluster({ name: this.name, ...over }), noIdentity, versionsFor('1.36.3'));
  }
  /** What differs between that design and the world, as a plan. */
  async plan(desired: readonly Resource[], policy: Policy = { command: 'up', allowDataLoss: false }): Promise<Plan> {
    const signal = new AbortController().signal;
    if (this.#connected.length === 0)
      this.#connected = await connectAll([this.#secrets(), this.provider as Layer], this.seen, signal);
    this.seen.clear();
    await observe(this.#connected, this.seen, signal, () => undefined);
    const types = new Map(this.#connected.flatMap(({ layer }) => layer.types.map((type) => [type.name, type])));
    return makePlan({ tool: 'test', cluster: this.name, specDigest: '', desired, observed: this.seen, types, policy });
  }
  /** Makes the world so; throws what failed. Returns the plan that it carried out. */
  async apply(desired: readonly Resource[], policy?: Policy): Promise<Plan> {
    const plan = await this.plan(desired, policy);
    const result = await run({
      steps: plan.steps,
      desired,
      connected: this.#connected,
      seen: this.seen,
      secrets: { reveal: async () => new Uint8Array() },
      emit: (event) => {
        if (event.type === 'progress') this.progress.push(event.message);
      },
      signal: new AbortController().signal,
      beforeStep: async () => undefined,
      lanes: { infrastructure: 16 },
      runId: 'test',
      since: Date.now(),
    });
    if (result.failed[0]) throw result.failed[0].error;
    return plan;
  }
  /** Removes everything of this cluster, whatever state it is in. */
  async remove(): Promise<void> {
    await this.apply([], { command: 'down', allowDataLoss: true });
    await rm(this.#directory, { recursive: true, force: true });
  }

  async findings(topology: Topology): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for await (const finding of this.provider.verify(topology, new AbortController().signal)) findings.push(finding);
    return findings;
  }
  /** How many of Docker's things are this cluster's. */
  async things(): Promise<{ containers: number; networks: number; volumes: number }> {
    const filters = { label: [`slipway.cluster=${this.name}`] };
    const { Volumes: volumes } = await this.docker.listVolumes({ filters });
    const containers = await this.docker.listContainers({ all: true, filters });
    return {
      containers: containers.length,
      networks: (await this.docker.listNetworks({ filters })).length,
      volumes: volumes?.length ?? 0,
    };
  }
  /** What a killed test left under this name, with another owner. */
  async removeThings(): Promise<void> {
    const filters = { label: [`slipway.cluster=${this.name}`] };
    for (const { Id } of await this.docker.listContainers({ all: true, filters }))
      await this.docker.getContainer(Id).remove({ force: true, v: true });
    for (const { Id } of await this.docker.listNetworks({ filters })) await this.docker.getNetwork(Id).remove();
    for (const { Name } of (await this.docker.listVolumes({ filters })).Volumes ?? []) await this.docker.getVolume(Name).remove();
  }

  /** Stands in for the layer of secrets: one public key. */
  #secrets(): Layer {
    const { publicKey } = this.key;
    const type = {
      name: 'secret',
      observe: async () => new Map([['secret/ssh', { state: 'present', props: {}, outputs: { publicKey } }]] as const),
      diff: () => [],
    } as const;
    return { name: 'secrets', types: [type], connect: async () => undefined };
  }

  /** Runs a command on a machine, through the bastion, with host keys checked. */
  async ssh(topology: Topology, machine: string, command: string): Promise<string> {
    const { bastion, hosts } = this.provider.access(topology, this.seen);
    const host = hosts.get(machine);
    if (!bastion || host?.state !== 'reachable') throw new Error(`${machine} cannot be reached: ${JSON.stringify(host)}`);
    const outer = await this.#connect(bastion);
    try {
      if (machine === 'bastion') return await exec(outer, command);
      const sock = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
        outer.forwardOut('127.0.0.1', 0, host.endpoint.address, host.endpoint.port, (error, stream) =>
          error ? reject(error) : resolve(stream),
        ),
      );
      const inner = await this.#connect(host.endpoint, sock);
      try {
        return await exec(inner, command);
      } finally {
        inner.end();
      }
    } finally {
      outer.end();
    }
  }
  #connect(endpoint: Endpoint, sock?: ssh2.ClientChannel): Promise<ssh2.Client> {
    const client = new ssh2.Client();
    const pinned = endpoint.hostKey.split(' ')[1];
    return new Promise((resolve, reject) => {
      client.once('ready', () => resolve(client));
      client.once('error', reject);
      client.connect({
        ...(sock ? { sock } : { host: endpoint.address, port: endpoint.port }),
        username: endpoint.user,
        privateKey: this.key.privateKey,
        hostVerifier: (key: Buffer) => key.toString('base64') === pinned,
      });
    });
  }
}

function exec(client: ssh2.Client, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error) return reject(error);
      let out = '';
      channel.on('data', (data: Buffer) => {
        out += data;
      });
      channel.stderr.on('data', (data: Buffer) => {
        out += data;
      });
      channel.once('close', () => resolve(out));
    });
  });
}

/** Resolves when something at that address says the first words of SSH. */
export async function sshAnswers(host: string, port: number, timeoutMs = 20_000): Promise<void> {
  const until = performance.now() + timeoutMs;
  while (performance.now() < until) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect({ host, port, timeout: 1000 });
      socket.once('data', () => {
        socket.destroy();
        resolve(true);
      });
      for (const end of ['error', 'timeout', 'end', 'close'] as const)
        socket.once(end, () => {
          socket.destroy();
          resolve(false);
        });
    });
    if (answered) return;
    await sleep(20);
  }
  throw new Error(`no SSH at ${host}:${port} within ${timeoutMs} ms`);
}
