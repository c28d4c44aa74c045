/**
 * A cluster of 1,000 workers for bench/rollout-1000.ts: machines, hosts and what lies on them in memory; Nodes and pods on a real API server, with kwok
 * for kubelets. Everything above that is the product's own: observing, planning, the schedule, cordons, drains, gates, the record in the store.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { clusterSchema } from '../src/config/schema.ts';
import { UnreachableError } from '../src/errors.ts';
import type { BundleProps } from '../src/host/design.ts';
import type { Access, HostsClients } from '../src/host/host.ts';
import { joinPem } from '../src/host/manifest.ts';
import { hostBundle } from '../src/host/types/bundle.ts';
import { hostUnits } from '../src/host/types/units.ts';
import { type KubeApi, openKube } from '../src/kube/client.ts';
import type { Credentials, KubeClients } from '../src/kube/clients.ts';
import { connectKube } from '../src/kube/connect.ts';
import { watchPods } from '../src/kube/drain/feed.ts';
import type { Pod } from '../src/kube/drain/pod.ts';
import { openHttp } from '../src/kube/http.ts';
import type { KubeObject } from '../src/kube/objects.ts';
import { kubeNode } from '../src/kube/types/node.ts';
import { machinesBy } from '../src/lifecycle/live.ts';
import type { LayersInput, LayersOutput, Opened } from '../src/lifecycle/opened.ts';
import { keyedDigest, sha256 } from '../src/plan/canonical.ts';
import { type Address, type Layer, nameOf, type Resolved, type ResourceType } from '../src/plan/resource.ts';
import { MemoryWorld, memoryLayers } from '../test/support/memory.ts';
import { memoryOpened } from '../test/support/memory-cluster.ts';
import { MemoryHosts } from '../test/support/memory-hosts.ts';

export interface Place {
  readonly server: string;
  readonly credentials: Credentials;
  /** Workers in all. */
  readonly workers: number;
  /** For the store, and for what is in memory between two processes. */
  readonly directory: string;
}
interface Saved {
  readonly things: readonly [Address, { props: object; outputs: object }][];
  readonly hosts: readonly [
    string,
    { readonly identity: Readonly<Record<string, string>>; readonly digests: Readonly<Record<string, string>> },
  ][];
}
export const poolSize = 100;
export const podsPerNode = 4;
const uid = 'uid-1';

export class ThousandNodes {
  readonly world = new MemoryWorld();
  readonly hosts: MemoryHosts;
  readonly #place: Place;
  readonly #api: KubeApi;

  /** Of hosts that another process has made: their bundles are those in force. */
  #loaded: Saved['hosts'] = [];

  constructor(place: Place) {
    this.#place = place;
    this.#api = openKube(this.#server());
    let known: { readonly things: number; readonly access: Access } | undefined;
    const access = (): Access => {
      const things = this.world.things.size;
      if (known?.things !== things) known = { things, access: this.#access() };
      return known.access;
    };
    this.hosts = new MemoryHosts(
      access,
      (name) => new Map(name === 'etcd-a' ? [['etcd-main', { code: 0, stdout: JSON.stringify(etcdSays) }]] : []),
      (_name, command) =>
        command.includes('/v3/cluster/member/list')
          ? `${JSON.stringify(etcdSays.members)}\n${JSON.stringify(etcdSays.status)}\n`
          : undefined,
    );
  }

  #access(): Access {
    const machines = [...this.world.things.keys()].filter((address) => address.startsWith('local.machine/')).map(nameOf);
    return {
      bastion: undefined,
      hosts: new Map(
        machines.map((address) => [address, { state: 'reachable', endpoint: { address, port: 22, user: 'root', hostKey: '' } }]),
      ),
      api: { server: this.#place.server, tlsServerName: 'api.demo.internal', via: 'direct' },
    };
  }

  save(): void {
    const hosts: Saved['hosts'] = [...this.hosts.held].map(([name, { identity, digests }]) => [name, { identity, digests }]);
    writeFileSync(this.#file(), JSON.stringify({ things: [...this.world.things], hosts }));
  }
  load(): void {
    const { things, hosts }: Saved = JSON.parse(readFileSync(this.#file(), 'utf8'));
    for (const [address, thing] of things) this.world.things.set(address, thing);
    this.#loaded = hosts;
  }
  #file = (): string => join(this.#place.directory, 'world.json');
  close(): void {
    this.#api.close();
  }

  /** As a command opens it, with this version in cluster.yaml. */
  opened(kubernetes: string, over: Partial<Opened> = {}): Opened {
    const cluster = clusterSchema.parse({
      apiVersion: 'slipway/v1',
      kind: 'Cluster',
      name: 'large',
      provider: { local: {} },
      kubernetes: { version: kubernetes },
      zones: ['a', 'b', 'c'],
      network: { machines: '10.0.0.0/9', pods: '10.128.0.0/10', services: '10.200.0.0/16' },
      etcd: { count: 1 },
      masters: { count: 1 },
      upgrade: { maxDrains: '5%', stableFor: '0s' },
      pools: Array.from({ length: this.#place.workers / poolSize }, (_, i) => ({
        name: `pool${i}`,
        count: poolSize,
        upgrade: { maxUnavailable: '10%' },
      })),
    });
    const base = memoryOpened(cluster, this.world, { store: join(this.#place.directory, 'store') });
    const provider = { ...base.provider, access: () => this.hosts.access() };
    return { ...base, provider, layers: (input) => this.#layers(input), now: Date.now, newUid: () => uid, ...over };
  }

  async #layers({ design, opened, generation }: LayersInput): Promise<LayersOutput> {
    const own = new Set(['host.bundle', 'host.units', 'kube.node']);
    const memory = memoryLayers(this.world, design().resources, () => design().resources).map((layer) => ({
      ...layer,
      types: layer.types
        .filter(({ name }) => !own.has(name))
        .map((type) => (layer.name === 'secrets' ? this.#known(type) : { ...type, verify: async () => undefined })),
    }));
    const machines = machinesBy(design);
    for (const [name, { identity, digests }] of this.#loaded) {
      const bundle = machines().get(name)?.bundle;
      if (bundle) this.hosts.held.set(name, { bundle, identity, digests });
    }
    this.#loaded = [];
    const { hosts } = this;
    const clients: HostsClients = {
      hosts,
      get machines() {
        return machines();
      },
      uid,
      generation,
      records: { get: async () => 'initialised', put: async () => undefined },
      delivery: 'mounted',
      storedAssets: async () => new Map(),
      assetFile: (path) => path,
      now: Date.now,
    };
    const connected = connectKube({
      uid,
      access: () => hosts.access(),
      masters: ['master-a'],
      credentials: async () => this.#place.credentials,
      initialised: async () => true,
      hosts,
      now: opened.now,
    });
    // The one API server is no host's, so that no bastion leads to it.
    const kube: KubeClients = {
      ...connected,
      servers: async (ask) => new Map([['master-a', await ask(await connected.api())]]),
    };
    const hostsLayer: Layer<HostsClients> = {
      name: 'hosts',
      types: [this.#bundles(clients), this.#units()],
      connect: async () => clients,
    };
    const kubeLayer: Layer<KubeClients> = {
      name: 'kube',
      // Not all at once: this machine has few cores, and the API server shares them.
      types: [this.#remembered({ ...kubeNode, lane: 'kube' })],
      connect: async () => kube,
      close: async () => kube.close(),
    };
    return {
      layers: [...memory.slice(0, 3), hostsLayer, ...memory.slice(3), kubeLayer],
      secrets: { reveal: async () => new Uint8Array() },
      seal: async (material) => ({ sealed: material, recipients: [] }),
      reach: { hosts: () => clients, kube: () => kube },
    };
  }

  /** What stands on it in memory asks whether it is there. */
  #remembered<P extends object, O extends object, C>(type: ResourceType<P, O, C>): ResourceType<P, O, C> {
    const { create } = type;
    if (!create) return type;
    return {
      ...type,
      create: async (props, ctx) => {
        const outputs = await create(props, ctx);
        this.world.things.set(ctx.address, { props: {}, outputs });
        return outputs;
      },
    };
  }

  /** Authorities and secrets with the outputs by which hosts' files are compared. */
  #known(type: ResourceType<object, object, unknown>): ResourceType<object, object, unknown> {
    const { create } = type;
    if (!create) return type;
    return {
      ...type,
      create: async (props, ctx) => {
        const name = nameOf(ctx.address);
        const secret = type.name === 'pki.authority' ? `authority.${name}` : name;
        const outputs = {
          ...(await create(props, ctx)),
          certificate: material(name),
          digest: keyedDigest(uid, sha256(material(secret))),
        };
        this.world.things.set(ctx.address, { props, outputs });
        return outputs;
      },
    };
  }

  #bundles(clients: HostsClients): typeof hostBundle {
    const apply = async (desired: Resolved<BundleProps>, name: string) => {
      const bundle = clients.machines.get(name)?.bundle;
      if (!bundle) throw new Error(`no bundle of ${name}`);
      const before = this.hosts.held.get(name);
      this.hosts.started.set(name, Date.now());
      this.hosts.held.set(name, { bundle, identity: desired.identity, digests: digestsOf(desired) });
      if (before) await this.#kubelet(name, false);
      return { restarted: [] };
    };
    return this.#remembered({
      ...hostBundle,
      create: (desired, { address }) => apply(desired, nameOf(address)),
      update: (desired, _outputs, { address }) => apply(desired, nameOf(address)),
    });
  }

  #units(): typeof hostUnits {
    return this.#remembered({
      ...hostUnits,
      create: async (_desired, { address }) => {
        await this.#kubelet(nameOf(address), true);
        return { stale: [] };
      },
      update: async () => ({ stale: [] }),
    });
  }

  /** A kubelet that starts for the first time registers its node; later it renews its lease at once. The rest of its life is kwok's. */
  async #kubelet(name: string, registers: boolean): Promise<void> {
    const held = this.hosts.held.get(name);
    if (!held?.bundle.units.some((unit) => unit.name === 'kubelet.service')) return;
    if (registers) {
      const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': held.identity.ZONE ?? '' };
      await this.#api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }, { manager: 'kubelet' });
      return;
    }
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    await this.#api.patch(
      { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'kube-node-lease', name },
      'application/merge-patch+json',
      { spec: { renewTime } },
    );
  }

  /** On each worker four pods of controllers, and one of a DaemonSet. Returns when all run. */
  async populate(): Promise<number> {
    const workers = [...this.hosts.held.keys()].filter((name) => name.startsWith('pool'));
    const limit = pLimit(8);
    const pods = workers.flatMap((node) => [
      ...Array.from({ length: podsPerNode }, (_, i) => pod(node, `app${i}-${node}`, 'ReplicaSet')),
      pod(node, `agent-${node}`, 'DaemonSet'),
    ]);
    const http = openHttp(this.#server());
    const path = '/api/v1/namespaces/default/pods';
    await Promise.all(pods.map((body) => limit(() => http.text(path, { method: 'POST', body, timeoutMs: 60_000 }))));
    http.close();
    const watching = new AbortController();
    const signal = AbortSignal.any([watching.signal, AbortSignal.timeout(300_000)]);
    const seen = watchPods(this.#api, signal);
    for (;;) {
      const nodes = await seen.next(signal).catch((error: unknown) => {
        if (error instanceof UnreachableError) return new Map<string, ReadonlyMap<string, Pod>>();
        throw error;
      });
      const running = [...nodes.values()].flatMap((own) => [...own.values()]).filter(({ phase }) => phase === 'Running');
      if (running.length < pods.length) continue;
      watching.abort();
      return pods.length;
    }
  }
  #server() {
    const { server, credentials } = this.#place;
    return { server, tlsServerName: 'api.demo.internal', ...credentials };
  }
}

/** One healthy member: it is not what is measured. */
const etcdSays = {
  members: { members: [{ ID: '1', name: 'etcd-a', peerURLs: ['https://etcd-a:2380'], clientURLs: ['https://etcd-a:2379'] }] },
  status: { header: { member_id: '1', cluster_id: '1' }, version: '3.6.16', leader: '1', raftTerm: '2' },
  alarms: {},
};

const material = (name: string): string => `-----BEGIN ${name}-----\n`;
const digestsOf = ({ files }: Resolved<BundleProps>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(files).map(([path, file]) => [
      path,
      'pem' in file ? sha256(joinPem(file.pem)) : 'secret' in file ? sha256(material(file.secret)) : file.digest,
    ]),
  );

const pod = (node: string, name: string, kind: 'ReplicaSet' | 'DaemonSet'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'default',
    labels: { app: name.split('-')[0] ?? '' },
    ownerReferences: [{ apiVersion: 'apps/v1', kind, name: 'x', uid: '00000000-0000-4000-8000-000000000000', controller: true }],
  },
  spec: {
    nodeName: node,
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', image: 'pause:1', resources: { requests: { cpu: '10m' } } }],
  },
});
