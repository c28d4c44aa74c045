import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareVersions, minorOf } from '../../src/assets/version-order.ts';
import type { Bundle } from '../../src/components/bundle.ts';
import { etcdClusters } from '../../src/components/etcd.ts';
import type { Cluster } from '../../src/config/schema.ts';
import { UnreachableError, UserError } from '../../src/errors.ts';
import { etcdClusterNames, probeName } from '../../src/etcd/probe.ts';
import type { Status } from '../../src/health/status.ts';
import { type BundleProps, propsOf } from '../../src/host/design.ts';
import { readFacts } from '../../src/host/facts.ts';
import type { Access, ExecResult, Host, HostsClients } from '../../src/host/host.ts';
import { diffBundle, heldPaths, isOfOther } from '../../src/host/types/bundle.ts';
import { diffPackages, type PackagesProps } from '../../src/host/types/packages.ts';
import type { KubeApi } from '../../src/kube/client.ts';
import type { KubeClients } from '../../src/kube/clients.ts';
import { type KubeObject, marks } from '../../src/kube/objects.ts';
import { readNodes } from '../../src/kube/types/node.ts';
import { type ClusterRecord, readRecord } from '../../src/lifecycle/identity.ts';
import { machinesBy } from '../../src/lifecycle/live.ts';
import type { LayersInput, LayersOutput, Opened } from '../../src/lifecycle/opened.ts';
import { planCluster } from '../../src/lifecycle/plan.ts';
import { readStatus } from '../../src/lifecycle/status.ts';
import { type UpResult, up } from '../../src/lifecycle/up.ts';
import type { DryRunOptions } from '../../src/lifecycle/upgrade/plan.ts';
import { abortUpgrade, planUpgrade, type UpgradeOptions, upgrade } from '../../src/lifecycle/upgrade.ts';
import { sha256 } from '../../src/plan/canonical.ts';
import type { Plan } from '../../src/plan/plan.ts';
import {
  type Address,
  addressOf,
  type Layer,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../src/plan/resource.ts';
import { parsePoint, type RecoveryPoint, recoveryPrefix } from '../../src/recovery/point.ts';
import type { RunCommand } from '../../src/rollout/gate-command.ts';
import type { UpgradeResult } from '../../src/rollout/result.ts';
import type { UpgradePlan } from '../../src/rollout/upgrade-plan.ts';
import { lockKey } from '../../src/run/lockRecord.ts';
import { recordKey, type Store } from '../../src/store/store.ts';
import { memoryStore } from '../unit/run/memoryStore.ts';
import { MemoryWorld, memoryLayers, worldDigest } from './memory.ts';
import { MemoryApi } from './memory-api.ts';
import { memoryOpened } from './memory-cluster.ts';
import { MemoryHosts } from './memory-hosts.ts';
import { snapshotAnswer, snapshotFile } from './snapshot.ts';
import type { VirtualTimers } from './virtual-timers.ts';

type Act = (act: string) => void | Promise<void>;

/** A cluster that stands as this file says, with pods: made once, and a copy of it for each who asks. */
export function standingAs(file: Cluster, time: VirtualTimers): () => Promise<UpgradableCluster> {
  const make = async (): Promise<UpgradableCluster> => {
    const cluster = new UpgradableCluster(time);
    await cluster.up(file);
    cluster.populate();
    return cluster;
  };
  let made: Promise<UpgradableCluster> | undefined;
  return async () => {
    made ??= make();
    return (await made).copy();
  };
}

/**
 * A whole cluster in memory that can be upgraded: machines and hosts that hold bundles and run their units, etcd with leaders, an API with Nodes, pods and
 * evictions. Every act of a command is checked against what must hold at every moment.
 */
export class UpgradableCluster {
  readonly world = new MemoryWorld();
  readonly api: MemoryApi;
  readonly objects = new Map<string, Uint8Array>([['secrets/ssh.age', Buffer.from('sealed')]]);
  /** What a member sends when it is asked for a snapshot. */
  snapshot = (member: string, cluster: string): Buffer => snapshotAnswer(snapshotFile(`${cluster} of ${member}`));
  /** What did not hold, and after which act. */
  readonly broken: string[] = [];
  /** Machines that were made. */
  readonly made: string[] = [];
  onAct: Act = () => undefined;
  /** What a machine's look at its mirrors ends with, where they have not just one newer package. */
  readonly mirrors = new Map<string, ExecResult>();
  /** Machines whose new packages want a restart. */
  readonly restarting = new Set<string>();
  /** Machines that do not come back from that in time, the first time. */
  readonly late = new Set<string>();
  /** What programs of a machine say that run and are not well. */
  readonly ailing = new Map<string, string>();
  /** How machines come up that are made from now on: one that does not boot never answers, one that does not join has a kubelet that reaches no API. */
  image: 'good' | 'does not boot' | 'does not join' = 'good';
  /** Machines that were made by such an image, until they are mended where they stand, or made anew. */
  readonly stuck = new Map<string, 'does not boot' | 'does not join'>();
  /** Masters whose API servers give no answer when they are asked alone. */
  readonly deaf = new Set<string>();
  /** Commands of gates. */
  runCommand: RunCommand = async () => ({ failure: undefined, lastLines: [] });
  /** What every secret is. */
  secret: Uint8Array = new Uint8Array();
  /** Acts of commands, and records that they wrote. */
  readonly acts: string[] = [];
  /** Nothing of a killed command reaches the world any more. */
  dead = false;
  readonly #hosts: MemoryHosts;
  readonly #time: VirtualTimers;
  readonly #leaders = new Map<string, string>();
  #runs = 0;

  constructor(time: VirtualTimers) {
    this.#time = time;
    this.#hosts = new MemoryHosts(
      () => this.#access(),
      (host) => new Map(etcdClusterNames.flatMap((cluster) => this.#probe(host, cluster))),
    );
    this.api = new MemoryApi({
      version: () => (this.#stored ? oldest(this.running('kube-apiserver')) : undefined),
      kubelet: (node) => (this.stuck.has(node) ? undefined : this.#program(node, 'kubelet')),
      act: (what, change) => this.#act(what, change),
    });
    this.world.onAct = (act) => this.#after(act);
  }

  /** The same, with everything in it. */
  copy(): UpgradableCluster {
    const other = new UpgradableCluster(this.#time);
    for (const [address, thing] of this.world.things) other.world.things.set(address, thing);
    for (const [address, below] of this.world.below) other.world.below.set(address, below);
    for (const [name, held] of this.#hosts.held) other.#hosts.held.set(name, held);
    for (const [name, node] of this.api.nodes) other.api.nodes.set(name, node);
    for (const [name, pod] of this.api.pods) other.api.pods.set(name, pod);
    other.api.follow(this.api);
    for (const [key, bytes] of this.objects) other.objects.set(key, bytes);
    other.stands();
    return other;
  }

  up(file: Cluster, over: Partial<Opened> = {}): Promise<UpResult> {
    const options = { allowDataLoss: false, lockWaitMs: 0, confirm: async () => true };
    return this.#time.until(up(this.opened(file, over), options));
  }
  upgrade(file: Cluster, options: Partial<UpgradeOptions> = {}, over: Partial<Opened> = {}): Promise<UpgradeResult> {
    return this.#time.until(this.upgrading(file, options, over));
  }
  /** Without time that goes on: for two at once. */
  upgrading(file: Cluster, options: Partial<UpgradeOptions> = {}, over: Partial<Opened> = {}): Promise<UpgradeResult> {
    return upgrade(this.opened(file, over), {
      allowDataLoss: false,
      lockWaitMs: 0,
      stopping: new AbortController().signal,
      asks: true,
      confirm: async () => true,
      ...options,
    });
  }
  abort(file: Cluster): Promise<UpgradeResult> {
    return this.#time.until(abortUpgrade(this.opened(file), { lockWaitMs: 0 }));
  }
  /** Time goes on until this is so. */
  until<T>(work: Promise<T>): Promise<T> {
    return this.#time.until(work);
  }
  dryRun(file: Cluster, options: DryRunOptions = {}, over: Partial<Opened> = {}): Promise<UpgradePlan> {
    return this.#time.until(planUpgrade(this.opened(file, over), options));
  }
  status(file: Cluster): Promise<Status> {
    return this.#time.until(readStatus(this.opened(file)));
  }
  planned(file: Cluster): Promise<Plan> {
    return this.#time.until(planCluster(this.opened(file)));
  }
  /** What `plan` shows: empty when all is as the file says. */
  async left(file: Cluster): Promise<readonly string[]> {
    const { changes } = await this.planned(file);
    return changes.map(({ address, action, fields }) => `${action} ${address} ${fields.map(({ path }) => path).join(', ')}`);
  }
  /** Recovery points, oldest first. */
  points(): readonly RecoveryPoint[] {
    return [...this.objects].flatMap(([key, bytes]) => (key.startsWith(recoveryPrefix) ? (parsePoint(bytes) ?? []) : []));
  }
  async record(): Promise<ClusterRecord> {
    const record = await readRecord(memoryStore(this.objects));
    if (!record) throw new Error('there is no record');
    return record;
  }

  /** Runs a command that is killed after so many acts: nothing of it reaches the world from then on. */
  async killedAfter(acts: number, command: (over: Partial<Opened>) => Promise<unknown>): Promise<void> {
    const [killer, { onAct }] = [new AbortController(), this];
    let count = 0;
    this.onAct = (act) => {
      if (this.dead) throw new Error('killed');
      if (++count < acts) return onAct(act);
      this.dead = true;
      killer.abort(new Error('killed'));
      throw new Error('killed');
    };
    try {
      await command({ signal: killer.signal });
    } catch (error) {
      if (!this.dead) throw error;
    } finally {
      [this.onAct, this.dead] = [onAct, false];
    }
    // Whoever comes next finds that its process is gone.
    this.objects.delete(lockKey);
  }

  /** A machine is gone, with all that lay on it; what others say of it stays. */
  lose(name: string): void {
    for (const address of this.world.things.keys())
      if (/^(local.machine|host|pki.certificate|kube.api)/.test(address) && nameOf(address).split('.')[0] === name)
        this.world.things.delete(address);
    this.api.reschedule(name);
  }
  /** On this machine something else lies and runs than anybody designed. */
  holds(name: string, edit: (bundle: Bundle) => Bundle): void {
    const held = this.#hosts.held.get(name);
    if (!held) throw new Error(`${name} holds nothing`);
    this.#hosts.held.set(name, { ...held, bundle: edit(held.bundle) });
  }
  machines(): readonly string[] {
    return this.#named('local.machine').toSorted();
  }
  digest(): string {
    return worldDigest(this.world);
  }
  /** Version of a program on each machine where it runs. */
  running(program: string): ReadonlyMap<string, string> {
    return new Map(
      this.machines().flatMap((name): [string, string][] => {
        const version = this.#program(name, program);
        return version === undefined ? [] : [[name, version]];
      }),
    );
  }

  opened(cluster: Cluster, over: Partial<Opened> = {}): Opened {
    const base = memoryOpened(cluster, this.world, { store: '/nowhere' });
    const store = this.#store();
    const run = ++this.#runs;
    let random = 0;
    return {
      ...base,
      provider: { ...base.provider, access: () => this.#access(), store: async () => store },
      layers: async (input) => this.#layers(input),
      runCommand: (command) => this.runCommand(command),
      now: Date.now,
      newUid: () => `uid-${run}`,
      randomBytes: (count) => new Uint8Array(count).map((_, i) => (run >> (8 * i)) + ++random),
      ...over,
    };
  }

  #store(): Store {
    const store = memoryStore(this.objects);
    return {
      ...store,
      put: async (key, body, condition) => {
        if (this.dead) throw new Error('killed');
        const version = await store.put(key, body, condition);
        if (key === recordKey) await this.#after('write record');
        if (key.startsWith(recoveryPrefix)) await this.#after(`write ${key.split('/').at(-1)}`);
        return version;
      },
    };
  }

  async #act(what: string, change: () => void): Promise<void> {
    if (this.dead) throw new Error('killed');
    await Promise.resolve();
    change();
    this.world.log.push(what);
    await this.#after(what);
  }
  async #after(act: string): Promise<void> {
    const [, acted, machine = ''] = /^(create|delete) local\.machine\/(.+)/.exec(act) ?? [];
    if (acted !== undefined) this.stuck.delete(machine);
    if (acted === 'create') {
      this.made.push(machine);
      if (this.image !== 'good') this.stuck.set(machine, this.image);
    }
    this.acts.push(act);
    // Whoever is killed now: a kubelet registers by itself.
    const started = /^create host.units\/(.+)/.exec(act)?.[1];
    if (started !== undefined && !this.stuck.has(started) && this.#program(started, 'kubelet') !== undefined)
      this.api.register(started, {});
    this.broken.push(...this.#violations().map((what) => `after ${act}: ${what}`));
    await this.onAct(act);
  }

  /** Kubernetes' version skew policy, and quorum: https://kubernetes.io/releases/version-skew-policy/ */
  #violations(): readonly string[] {
    const apis = [...this.running('kube-apiserver')];
    const found: string[] = [];
    const newest = (all: readonly (readonly [string, string])[]) =>
      all
        .map(([, version]) => version)
        .toSorted(compareVersions)
        .at(-1);
    const [lowest, highest] = [oldest(new Map(apis)), newest(apis)];
    if (lowest !== undefined && highest !== undefined) {
      if (minorOf(highest) - minorOf(lowest) > 1) found.push(`API servers at ${lowest} and ${highest}`);
      for (const [program, behind] of [
        ['kubelet', 3],
        ['kube-proxy', 3],
        ['kube-controller-manager', 1],
        ['kube-scheduler', 1],
      ] as const)
        for (const [name, version] of this.running(program)) {
          // On a master everything talks to the master's own API server.
          const [least, most] = name.startsWith('master') ? this.#ownApi(name) : [lowest, highest];
          // Patches are of no account in the version skew policy: on the way back a master's API server goes first, too.
          if (least !== undefined && minorOf(version) > minorOf(least))
            found.push(`${program} of ${name} ${version}, an API server at ${least}`);
          if (most !== undefined && minorOf(most) - minorOf(version) > behind)
            found.push(`${program} of ${name} ${version}, an API server at ${most}`);
        }
    }
    const etcd = [...this.running('etcd')];
    const [low, high] = [oldest(new Map(etcd)), newest(etcd)];
    if (low !== undefined && high !== undefined && minorOf(high) - minorOf(low) > 1) found.push(`etcd at ${low} and ${high}`);
    const members = this.#members('main').length;
    const voting = this.#members('main').filter((name) => this.serves(name)).length;
    if (this.#formed && members > 1 && voting <= members / 2) found.push(`etcd has ${voting} of ${members} members`);
    for (const pod of this.api.pods.values()) {
      const { nodeName }: { nodeName?: unknown } = Object(pod.spec);
      // One that was only tried is no loss.
      const tried = pod.metadata.labels?.[marks.trial] !== undefined;
      if (!tried && typeof nodeName === 'string' && nodeName !== '' && !this.machines().includes(nodeName))
        found.push(`pod ${pod.metadata.name} was on ${nodeName}, which is gone`);
    }
    return found;
  }
  #ownApi(master: string): readonly (string | undefined)[] {
    const own = this.#program(master, 'kube-apiserver');
    return [own, own];
  }
  /** The API servers' etcd answers. */
  get #stored(): boolean {
    const members = this.#members('main');
    return !this.#formed || members.filter((name) => this.serves(name)).length > members.length / 2;
  }
  #formed = false;
  /** Words with which no unit that has them starts. */
  readonly poison = new Set<string>();
  /** Two pods on each worker. */
  populate(): void {
    for (const node of this.api.nodes.keys())
      if (!node.startsWith('master')) for (const n of [1, 2]) this.api.addPod(`web-${node}-${n}`, node);
  }
  /** From now on quorum must hold: the cluster stands. */
  stands(): void {
    this.#formed = true;
    this.acts.length = 0;
    this.broken.length = 0;
    this.made.length = 0;
    this.world.log.length = 0;
  }

  #named(type: string): readonly string[] {
    return [...this.world.things.keys()].filter((address) => address.startsWith(`${type}/`)).map(nameOf);
  }
  /** Its units run. */
  serves(name: string): boolean {
    if ([...this.poison].some((word) => this.#hosts.held.get(name)?.bundle.units.some(({ text }) => text.includes(word))))
      return false;
    const has = (type: string): boolean => this.world.things.has(addressOf(type, name));
    return has('local.machine') && has('host.units') && has('host.bundle');
  }
  #program(machine: string, program: string): string | undefined {
    return this.serves(machine) ? versionOf(this.#hosts.held.get(machine)?.bundle, program) : undefined;
  }
  #access(): Access {
    const machines = this.machines();
    return {
      bastion: undefined,
      hosts: new Map(
        machines.map((name) => [name, { state: 'reachable', endpoint: { address: name, port: 22, user: 'root', hostKey: '' } }]),
      ),
      api: { server: this.api.server, tlsServerName: 'api', via: 'direct' },
    };
  }

  #members(cluster: string): readonly string[] {
    return this.#named('etcd.member')
      .filter((name) => name.startsWith(`${cluster}.`))
      .map((name) => name.slice(cluster.length + 1))
      .sort();
  }
  #view(host: string, cluster: string): { members: object; status: object } | undefined {
    const all = this.#members(cluster);
    const serving = all.filter((name) => this.serves(name));
    if (!serving.includes(host)) return undefined;
    const idOf = (name: string): string =>
      `${name.split('').reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 1_000_000_007, 7)}`;
    let leader = this.#leaders.get(cluster);
    if (leader === undefined || !serving.includes(leader)) leader = serving[0] ?? '';
    this.#leaders.set(cluster, leader);
    const members = all.map((name) => ({ ID: idOf(name), name, peerURLs: [`https://${name}`], clientURLs: [`https://${name}`] }));
    const version = this.#program(host, 'etcd') ?? '';
    const status = {
      header: { member_id: idOf(host), cluster_id: '1', revision: '9' },
      version,
      leader: idOf(leader),
      raftTerm: '2',
      raftAppliedIndex: '9',
    };
    return { members: { members }, status };
  }
  #probe(host: string, cluster: (typeof etcdClusterNames)[number]): [string, { code: number; stdout: string }][] {
    const held = this.#hosts.held.get(host)?.bundle;
    if (!held?.probes.some(({ name }) => name === probeName(cluster))) return [];
    const view = this.#view(host, cluster);
    return [[probeName(cluster), { code: view ? 0 : 7, stdout: view ? JSON.stringify({ ...view, alarms: {} }) : '' }]];
  }

  async #host(name: string): Promise<Host> {
    if (!this.world.things.has(addressOf('local.machine', name))) throw noAnswer(name);
    if (this.stuck.get(name) === 'does not boot') throw noAnswer(name);
    const host = await this.#hosts.get(name);
    const said = (stdout: string): ExecResult => ({ code: 0, stdout, stderr: '' });
    return {
      ...host,
      stream: async (command) => {
        const asked = etcdClusterNames.find((each) => new RegExp(`:${etcdClusters[each].client}\\b`).test(command));
        if (this.dead || asked === undefined || !this.serves(name)) throw new Error('a host in memory streams snapshots only');
        return Readable.from([this.snapshot(name, asked)]);
      },
      exec: async (command, options) => {
        if (this.dead) throw new Error('killed');
        if (typeof options?.stdin === 'string' && options.stdin.includes('systemctl stop')) {
          await this.#act(`stop units of ${name}`, () => this.world.things.delete(addressOf('host.units', name)));
          return said('');
        }
        const ails = command.includes('/livez') ? this.ailing.get(name) : undefined;
        if (ails !== undefined) return { code: 1, stdout: ails, stderr: '' };
        if (command === 'sh -s look') return this.mirrors.get(name) ?? said('package openssl 1 2\ndone\n');
        const cluster = etcdClusterNames.find((each) => command.includes(`:${etcdClusters[each].client}/`));
        if (cluster === undefined) return command === 'sh -s' ? host.exec(command, options) : said(`${Date.now()}`);
        if (command.includes('transfer-leadership')) {
          const id = /"targetID":"(\d+)"/.exec(command)?.[1];
          const views = this.#members(cluster).map((member) => ({ member, view: this.#view(member, cluster) }));
          const target = views.find(({ view }) => JSON.stringify(view?.status).includes(`"member_id":"${id}"`));
          await this.#act(`lead ${cluster} ${target?.member}`, () => this.#leaders.set(cluster, target?.member ?? ''));
          return said('{}');
        }
        if (command.includes('/version')) {
          const risen = oldest(new Map(this.#members(cluster).flatMap((m) => [...(this.#versionAt(m) ?? [])]))) ?? '';
          return said(`{"etcdserver":"${this.#program(name, 'etcd')}","etcdcluster":"${risen.replace(/\.\d+$/, '.0')}"}`);
        }
        const view = this.#view(name, cluster);
        return said(view ? `${JSON.stringify(view.members)}\n${JSON.stringify(view.status)}\n` : '');
      },
    };
  }
  /** One API server, past the balancer: it says of itself what it runs, and whoever asks for objects asks the API. */
  async #askServer<T>(master: string, ask: (server: KubeApi) => Promise<T>): Promise<T | undefined> {
    if (this.deaf.has(master) || this.#program(master, 'kube-apiserver') === undefined) return undefined;
    return ask(
      new MemoryApi({
        version: () => this.#program(master, 'kube-apiserver'),
        kubelet: () => undefined,
        act: async () => never(),
      }),
    );
  }
  #versionAt(member: string): readonly [string, string][] | undefined {
    const version = this.#program(member, 'etcd');
    return version === undefined ? undefined : [[member, version]];
  }

  #layers({ design, opened, generation }: LayersInput): LayersOutput {
    const { api, world } = this;
    const machinesOf = machinesBy(design);
    const clients: HostsClients = {
      hosts: {
        access: () => this.#access(),
        get: (name) => this.#host(name),
        tunnel: () => {
          throw new Error('no tunnels in memory');
        },
        close: async () => undefined,
      },
      get machines() {
        return machinesOf();
      },
      uid: 'uid',
      generation,
      records: { get: async () => 'initialised', put: async () => undefined },
      delivery: 'mounted',
      storedAssets: async () => new Map(),
      assetFile: (path) => path,
      now: opened.now,
    };
    const polled = async <T>(answer: () => T | Promise<T>, signal: AbortSignal): Promise<T> => {
      await sleep(100, undefined, { signal });
      return answer();
    };
    let told: ReadonlyMap<string, KubeObject> | undefined;
    const nodes = async () => new Map((await api.list('v1', 'Node')).map((node) => [node.metadata.name, node]));
    const kube: KubeClients = {
      api: async () => {
        await api.raw('/readyz');
        return api;
      },
      servers: async (ask) =>
        new Map(
          await Promise.all(
            this.machines()
              .filter((name) => name.startsWith('master'))
              .map(async (name) => [name, await this.#askServer(name, ask)] as const),
          ),
        ),
      state: async () => (oldest(this.running('kube-apiserver')) === undefined ? 'absent' : 'there'),
      uid: 'uid',
      readyWithinMs: 120_000,
      hosts: undefined,
      now: opened.now,
      addonKinds: [],
      manifests: new Map(),
      nodes: {
        next: async (signal) => {
          told = await polled(nodes, signal);
          return told;
        },
        latest: () => told,
      },
      leases: { next: async () => new Map(this.machines().map((name) => [name, opened.now()])) },
      workloads: { next: async () => new Map() },
      close: () => undefined,
    };
    const connections: Readonly<Record<string, unknown>> = { hosts: clients, kube };
    const layers = memoryLayers(world, design().resources, () => design().resources).map(
      (layer): Layer => ({
        name: layer.name,
        types: layer.types.map((type) => this.#living(type, clients)),
        connect: async () => connections[layer.name] ?? world,
      }),
    );
    return {
      layers,
      secrets: { reveal: async () => this.secret },
      seal: async (material) => ({ sealed: material, recipients: [] }),
      reach: { hosts: () => clients, kube: () => kube },
    };
  }

  /** A type of the memory world, for a world in which hosts run what they hold. */
  #living(base: ResourceType, clients: HostsClients): ResourceType {
    const { world } = this;
    const observeBase: ResourceType['observe'] = ({ signal }) =>
      base.observe({ clients: world, signal, read: (query) => query(world, signal) });
    const type: ResourceType = {
      ...base,
      observe: observeBase,
      create: (props, ctx) => this.#alive(() => base.create?.(props, ctx)),
      update: (props, outputs, ctx) => this.#alive(() => base.update?.(props, outputs, ctx)),
      delete: async (outputs, ctx) => {
        await this.#alive(async () => (await base.delete?.(outputs, ctx)) ?? {});
      },
    };
    switch (base.name) {
      case 'host.bundle':
        return this.#bundles(type, clients);
      case 'host.packages':
        return this.#packages(type);
      case 'local.machine':
        return { ...type, observe: async (observing) => new Map([...(await type.observe(observing))].map(withRole)) };
      case 'kube.node':
        return this.#nodes(type);
      case 'kube.api':
        return { ...type, verify: async (_props, { address }) => this.#mustServe(nameOf(address)) };
      case 'etcd.member':
        return { ...type, verify: async (_props, { address }) => this.#mustServe(nameOf(address).replace(/^\w+\./, '')) };
      default:
        return { ...type, verify: async () => undefined };
    }
  }
  /** As the real one: of a machine that something of ours lies on, its packages are of no date until an upgrade; and it restarts in that. */
  #packages(type: ResourceType): ResourceType {
    const { world } = this;
    const bring = (name: string): { rebooted: boolean } => ({ rebooted: this.restarting.has(name) });
    return {
      ...type,
      observe: async (observing) => {
        const found = new Map(await type.observe(observing));
        for (const name of this.#named('host.bundle')) {
          const address = addressOf('host.packages', name);
          if (!found.has(address))
            found.set(address, { state: 'present', props: { since: '', node: false }, outputs: { rebooted: false } });
        }
        return found;
      },
      diff: (desired, observed) => diffPackages(packagesProps(desired), packagesProps(observed)),
      create: async (props, ctx) => ({ ...(await type.create?.(props, ctx)), rebooted: false }),
      update: async (props, outputs, ctx) => {
        await type.update?.(props, outputs, ctx);
        const done = { ...bring(nameOf(ctx.address)), asked: packagesProps(props).since };
        world.things.set(ctx.address, { props, outputs: done });
        if (done.rebooted && this.late.delete(nameOf(ctx.address)))
          throw new UnreachableError({ what: 'it did not come back within 300 s of its restart', where: nameOf(ctx.address) });
        return done;
      },
    };
  }
  #nodes(type: ResourceType): ResourceType {
    const { world } = this;
    const nodes: ResourceType<object, object, KubeClients> = {
      ...type,
      observe: async (observing) => {
        await observing.read(readNodes).catch(() => undefined);
        const there = oldest(this.running('kube-apiserver')) !== undefined;
        if (there && !this.#stored) return new Map([...this.machines()].map(unseenNode));
        return this.#readyNodes(await type.observe({ clients: world, signal: observing.signal, read: async () => never() }));
      },
      create: (props, ctx) => {
        this.#mustJoin(nameOf(ctx.address));
        return this.#alive(() => type.create?.(props, ctx));
      },
      update: async (props, outputs, ctx) => {
        this.#mustJoin(nameOf(ctx.address));
        return this.#alive(() => type.update?.(props, outputs, ctx));
      },
      verify: async (_props, { address }) => {
        this.#mustJoin(nameOf(address));
        this.#mustServe(nameOf(address));
      },
      delete: async (outputs, ctx) => {
        if (this.dead) throw new Error('killed');
        this.api.forget(nameOf(ctx.address));
        await type.delete?.(outputs, ctx);
      },
    };
    return nodes;
  }
  async #alive(work: () => Promise<object> | undefined): Promise<object> {
    if (this.dead) throw new Error('killed');
    return (await work()) ?? {};
  }
  #mustJoin(name: string): void {
    if (this.stuck.has(name))
      throw new UserError({
        what: 'the node gave no sign of life within 120 s',
        where: name,
        why: 'its kubelet: no route to the API',
      });
  }
  #mustServe(name: string): void {
    if (!this.serves(name)) throw new Error(`${name} does not serve`);
  }
  #readyNodes(found: ReadonlyMap<Address, Observation<object, object>>): ReadonlyMap<Address, Observation<object, object>> {
    return new Map(
      [...found].map(([address, seen]) => [
        address,
        seen.state === 'present' && (this.stuck.has(nameOf(address)) || !this.serves(nameOf(address)))
          ? { ...seen, props: { ...seen.props, ready: false } }
          : seen,
      ]),
    );
  }

  #bundles(type: ResourceType, clients: HostsClients): ResourceType {
    const { held } = this.#hosts;
    const apply = (props: Resolved<BundleProps>, name: string, hold: readonly string[]): Resolved<BundleProps> => {
      const next = clients.machines.get(name)?.bundle;
      if (!next) throw new Error(`no bundle of ${name}`);
      const before = this.world.things.get(addressOf('host.bundle', name));
      const old = before ? held.get(name)?.bundle : undefined;
      const kept = new Set(heldPaths(hold));
      const bundle = old ? holding(next, old, kept) : next;
      const merged = before ? holdingProps(props, bundleProps(before.props), kept) : props;
      held.set(name, { bundle, identity: merged.identity, digests: digestsOf(bundle) });
      return merged;
    };
    const bundles: ResourceType<object, object, HostsClients> = {
      ...type,
      observe: async (observing) => {
        const facts = await observing.read(readFacts);
        const found = await type.observe({ clients: this.world, signal: observing.signal, read: async () => never() });
        const silent = [...facts].flatMap(([name, seen]): [Address, Observation<object, object>][] =>
          seen.state === 'unknown' ? [[addressOf('host.bundle', name), seen]] : [],
        );
        return new Map([
          ...[...found].map(([address, seen]) => [address, this.#serving(address, seen, clients)] as const),
          ...silent,
        ]);
      },
      diff: (desired, observed) => diffBundle(bundleProps(desired), bundleProps(observed)),
      create: (props, ctx) => {
        const name = nameOf(ctx.address);
        if (this.stuck.get(name) === 'does not boot') throw noAnswer(name);
        return this.#alive(() => type.create?.(apply(bundleProps(props), name, []), ctx));
      },
      update: (props, outputs, ctx) => {
        return this.#alive(() => type.update?.(apply(bundleProps(props), nameOf(ctx.address), ctx.hold), outputs, ctx));
      },
    };
    return bundles;
  }
  /** With what a change of each file would restart, and what of that serves. */
  #serving(address: Address, seen: Observation<object, object>, { machines }: HostsClients): Observation<object, object> {
    const bundle = this.#hosts.held.get(nameOf(address))?.bundle;
    if (seen.state !== 'present' || !bundle || !this.serves(nameOf(address))) return seen;
    const restarts: Record<string, string[]> = {};
    for (const { name, inputs } of bundle.units)
      for (const path of [name, ...inputs]) restarts[path] = [...(restarts[path] ?? []), name];
    const serving = bundle.units.filter((unit) => unit.serving).map(({ name }) => name);
    const designed = machines.get(nameOf(address));
    const kubelet = propsOf(bundle).bundle.units['kubelet.service'];
    const turned = designed !== undefined && kubelet !== undefined && isOfOther(kubelet, designed);
    return { ...seen, props: { ...seen.props, restarts, serving, turned } };
  }
}

const noAnswer = (name: string): UnreachableError =>
  new UnreachableError({ what: 'no SSH connection within 120 s', where: name });
const unseenNode = (name: string): [Address, Observation<object, object>] => [
  addressOf('kube.node', name),
  { state: 'unknown', why: 'the API does not answer' },
];
const never = (): never => {
  throw new Error('types in memory ask nothing');
};
/** What a machine says of itself, also when it is no longer designed. */
function withRole([address, seen]: readonly [Address, Observation<object, object>]): [Address, Observation<object, object>] {
  const role = /^(bastion|etcd|master)/.exec(nameOf(address))?.[1] ?? 'worker';
  return [address, seen.state === 'present' ? { ...seen, outputs: { ...seen.outputs, role } } : seen];
}
const isPackagesProps = (props: object): props is Resolved<PackagesProps> => 'since' in props && 'node' in props;
function packagesProps(props: object): Resolved<PackagesProps> {
  if (!isPackagesProps(props)) throw new Error('these are no props of host.packages');
  return props;
}
const isBundleProps = (props: object): props is Resolved<BundleProps> =>
  'bundle' in props && 'files' in props && 'units' in props;
function bundleProps(props: object): Resolved<BundleProps> {
  if (!isBundleProps(props)) throw new Error('these are no props of host.bundle');
  return props;
}
const oldest = (versions: ReadonlyMap<string, string>): string | undefined => [...versions.values()].toSorted(compareVersions)[0];

const programs = new WeakMap<Bundle, ReadonlyMap<string, string>>();
function versionOf(bundle: Bundle | undefined, program: string): string | undefined {
  if (!bundle) return undefined;
  let found = programs.get(bundle);
  if (!found) {
    const all = bundle.units.map(({ text }) => text).join('\n');
    found = new Map(
      [...all.matchAll(/^ExecStart=\/opt\/slipway\/[a-z-]+\/(\d[\w.+-]*)\/([\w-]+)/gm)].map(([, version = '', name = '']) => [
        name,
        version,
      ]),
    );
    programs.set(bundle, found);
  }
  return found.get(program);
}

/** The new one, but for what is held back. */
function holding(next: Bundle, old: Bundle, held: ReadonlySet<string>): Bundle {
  if (held.size === 0) return next;
  const pick = <T>(now: readonly T[], before: readonly T[], key: (one: T) => string): readonly T[] => [
    ...now.flatMap((one) => (held.has(key(one)) ? before.filter((other) => key(other) === key(one)) : [one])),
    ...before.filter((one) => held.has(key(one)) && !now.some((other) => key(other) === key(one))),
  ];
  return {
    ...next,
    files: pick(next.files, old.files, ({ path }) => path),
    units: pick(next.units, old.units, ({ name }) => name),
  };
}
function holdingProps(next: Resolved<BundleProps>, old: Resolved<BundleProps>, held: ReadonlySet<string>): Resolved<BundleProps> {
  const pick = <T>(now: Readonly<Record<string, T>>, before: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries([
      ...Object.entries(now).filter(([key]) => !held.has(key)),
      ...Object.entries(before).filter(([key]) => held.has(key)),
    ]);
  const { restarts: _, serving: __, turned: ___, ...props } = next;
  return { ...props, files: pick(next.files, old.files), units: pick(next.units, old.units) };
}
const digestsOf = ({ files }: Bundle): Readonly<Record<string, string>> =>
  Object.fromEntries(files.flatMap(({ path, content }) => ('text' in content ? [[path, sha256(content.text)]] : [])));
