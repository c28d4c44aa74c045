import { setTimeout as sleep } from 'node:timers/promises';
import { UnreachableError } from '../../src/errors.ts';
import type { Eviction, KubeApi, ListOptions, Page, PodName, Watched, WatchFrom } from '../../src/kube/client.ts';
import { isCordoned } from '../../src/kube/drain/cordon.ts';
import { KubeRefusal } from '../../src/kube/http.ts';
import { type KubeObject, kubeObjectSchema, marks, type ObjectName } from '../../src/kube/objects.ts';
import { type Taint, taintsOf } from '../../src/kube/taints.ts';

/** What the API knows of the world, and what a change of it is. */
export interface ApiPorts {
  /** Undefined: no API server runs. */
  version(): string | undefined;
  /** Undefined: no kubelet runs there. */
  kubelet(node: string): string | undefined;
  /** Everything that changes an object goes through here. */
  act(what: string, change: () => void): Promise<void>;
}

/** A Kubernetes API in memory: Nodes and pods, cordons and taints, evictions, and a scheduler that starts evicted pods elsewhere. */
export class MemoryApi implements KubeApi {
  readonly server = 'https://memory:6443';
  readonly nodes = new Map<string, KubeObject>();
  readonly pods = new Map<string, KubeObject>();
  /** Evictions, by pod. */
  readonly moved = new Map<string, number>();
  /** Each eviction: from which node, and which kubelet ran there. */
  readonly evictions: { readonly pod: string; readonly node: string; readonly kubelet: string | undefined }[] = [];
  /** Why this pod may not be evicted; undefined: it may. */
  refuses: (pod: PodName) => string | undefined = () => undefined;
  /** Nodes whose kubelets run, and are not Ready. */
  readonly unwell = new Set<string>();
  /** Nodes that are Ready, and on which no pod starts. */
  readonly barren = new Set<string>();
  /** How long each of its answers takes. */
  answersInMs = 1;
  /** An admission webhook takes no pod of ours. */
  deniesPods = false;
  /** What kubelets have said of themselves: a Node keeps it when they are gone. */
  readonly #kubelets = new Map<string, string>();
  readonly #ports: ApiPorts;
  readonly #events: Watched[] = [];
  #version = 1;

  constructor(ports: ApiPorts) {
    this.#ports = ports;
  }

  /** What comes is younger than all of the other's: no two objects have one UID. */
  follow(other: MemoryApi): void {
    this.#version = other.#version;
  }
  /** A kubelet that starts: its Node stays as it is where there is one. */
  register(name: string, labels: Readonly<Record<string, string>>): void {
    if (!this.nodes.has(name)) this.#put({ name, uid: `uid-${++this.#version}`, labels: { ...labels } }, {});
    this.schedule();
  }
  forget(name: string): void {
    this.nodes.delete(name);
  }
  addPod(name: string, node: string, owner: 'ReplicaSet' | 'DaemonSet' = 'ReplicaSet'): void {
    this.#bind(name, node, owner);
  }
  /** A pod becomes another in the middle of things: who watches is told. */
  change(object: KubeObject): void {
    this.pods.set(object.metadata.name, object);
    this.#events.push({ type: 'MODIFIED', object });
  }
  podsOn(node: string): readonly string[] {
    return [...this.pods.values()].filter((pod) => nodeOf(pod) === node).map(({ metadata }) => metadata.name);
  }
  node(name: string): KubeObject | undefined {
    const node = this.nodes.get(name);
    if (!node) return undefined;
    const kubelet = this.#ports.kubelet(name);
    const said = kubelet ?? this.#kubelets.get(name);
    if (said !== undefined) this.#kubelets.set(name, said);
    return {
      ...node,
      status: {
        conditions: [
          {
            type: 'Ready',
            status: kubelet === undefined || this.unwell.has(name) ? 'False' : 'True',
            message: 'kubelet stopped',
          },
        ],
        nodeInfo: { kubeletVersion: said === undefined ? '' : `v${said}` },
        allocatable: { cpu: '4', memory: '8Gi', pods: '110' },
      },
    };
  }
  cordoned(): readonly string[] {
    return [...this.nodes.values()].filter(isCordoned).map(({ metadata }) => metadata.name);
  }
  tainted(): readonly string[] {
    return [...this.nodes.values()].filter((node) => taintsOf(node).length > 0).map(({ metadata }) => metadata.name);
  }
  /** Pods that wait for a node get one. */
  schedule(): void {
    for (const pod of this.pods.values()) if (nodeOf(pod) === '') this.#place(pod.metadata.name);
  }

  /** What was on a node that is gone is started elsewhere. */
  reschedule(node: string): void {
    for (const name of this.podsOn(node)) this.#bind(name, '', 'ReplicaSet');
    this.schedule();
  }

  async get({ kind, name }: ObjectName): Promise<KubeObject | undefined> {
    this.#answers();
    if (kind === 'Pod') return this.pods.get(name);
    return kind === 'Node' ? this.node(name) : undefined;
  }
  async list(_apiVersion: string, kind: string, { labelSelector }: ListOptions = {}): Promise<readonly KubeObject[]> {
    this.#answers();
    if (kind === 'Pod')
      return [...this.pods.values()].filter(
        ({ metadata }) => labelSelector === undefined || metadata.labels?.[labelSelector] !== undefined,
      );
    return kind === 'Node' ? [...this.nodes.keys()].flatMap((name) => this.node(name) ?? []) : [];
  }
  async *pages(apiVersion: string, kind: string): AsyncGenerator<Page> {
    yield { items: await this.list(apiVersion, kind), resourceVersion: `${this.#events.length}` };
  }
  async *watch(_apiVersion: string, kind: string, { resourceVersion, seconds, signal }: WatchFrom): AsyncGenerator<Watched> {
    const end = performance.now() + seconds * 1000;
    for (let at = Number(resourceVersion) || 0; performance.now() < end; ) {
      this.#answers();
      for (; at < this.#events.length; at++) {
        const event = this.#events[at];
        if (event && 'object' in event && event.object.kind === kind) yield event;
      }
      yield { type: 'BOOKMARK', resourceVersion: `${at}` };
      await sleep(100, undefined, signal ? { signal } : {});
    }
  }
  async evict(pod: PodName): Promise<Eviction> {
    this.#answers();
    const why = this.refuses(pod);
    if (why !== undefined) return { state: 'refused', why, causes: [why], retryAfterMs: 0 };
    if (this.pods.get(pod.name)?.metadata.uid !== pod.uid) return { state: 'gone' };
    await this.#ports.act(`evict ${pod.name}`, () => {
      const found = this.pods.get(pod.name);
      if (!found) return;
      this.pods.delete(pod.name);
      const node = nodeOf(found);
      this.evictions.push({ pod: pod.name, node, kubelet: this.#ports.kubelet(node) });
      this.moved.set(pod.name, (this.moved.get(pod.name) ?? 0) + 1);
      this.#events.push({ type: 'DELETED', object: found });
      this.#bind(pod.name, '', 'ReplicaSet');
      this.schedule();
    });
    return { state: 'accepted' };
  }
  /** A pod on a node, or a cordon, or its end. */
  async apply(object: KubeObject): Promise<KubeObject> {
    this.#answers();
    const { name } = object.metadata;
    if (object.kind === 'Pod') {
      if (this.deniesPods)
        throw new KubeRefusal(name, 403, { message: 'not allowed', reason: 'Forbidden', details: { causes: [] } });
      const pod = { ...object, metadata: { ...object.metadata, uid: `uid-${++this.#version}` } };
      const phase = this.barren.has(nodeOf(object)) ? 'Pending' : 'Running';
      await this.#ports.act(`create pod ${name}`, () => {
        this.pods.set(name, { ...pod, status: { phase } });
        this.#events.push({ type: 'ADDED', object: { ...pod, status: { phase } } });
      });
      return pod;
    }
    const cordons = isCordoned(object);
    await this.#ports.act(`${cordons ? 'cordon' : 'uncordon'} ${name}`, () => {
      const node = this.nodes.get(name);
      if (!node) throw new Error(`${name} has no Node`);
      const { [marks.cordon]: _, ...others } = node.metadata.annotations ?? {};
      const annotations = cordons ? { ...others, ...object.metadata.annotations } : others;
      this.#put({ ...node.metadata, annotations }, { ...specOf(node), unschedulable: cordons });
      this.schedule();
    });
    return this.node(name) ?? object;
  }
  /** The only patch here is one of taints. */
  async patch({ name }: ObjectName, _type: string, body: unknown): Promise<KubeObject> {
    this.#answers();
    const [test, add]: { value?: unknown }[] = Array.isArray(body) ? body : [];
    await this.#ports.act(`taint ${name}`, () => {
      const node = this.nodes.get(name);
      if (!node || node.metadata.resourceVersion !== test?.value)
        throw new KubeRefusal(name, 409, { message: 'changed', reason: 'Conflict', details: { causes: [] } });
      this.#put(node.metadata, { ...specOf(node), taints: add?.value });
      this.schedule();
    });
    return this.node(name) ?? neverMind(name);
  }
  async patchStatus({ name }: ObjectName): Promise<KubeObject> {
    return this.node(name) ?? neverMind(name);
  }
  async delete({ kind, name }: ObjectName): Promise<void> {
    if (kind !== 'Pod') throw new Error('only pods are deleted in this API');
    await this.#ports.act(`delete pod ${name}`, () => {
      const object = this.pods.get(name);
      if (this.pods.delete(name) && object) this.#events.push({ type: 'DELETED', object });
    });
  }
  async kind(): Promise<undefined> {
    return undefined;
  }
  async raw(path: string, { took }: Parameters<KubeApi['raw']>[1] = {}): Promise<string> {
    this.#answers();
    took?.(this.answersInMs);
    if (path === '/version') return JSON.stringify({ gitVersion: `v${this.#ports.version()}` });
    return path === '/apis' ? '{"groups":[]}' : '';
  }
  close(): void {}

  #answers(): void {
    if (this.#ports.version() === undefined) throw new UnreachableError({ what: 'no API server answers', where: this.server });
  }
  #put(metadata: KubeObject['metadata'], spec: object): void {
    const resourceVersion = `${++this.#version}`;
    this.nodes.set(
      metadata.name,
      kubeObjectSchema.parse({ apiVersion: 'v1', kind: 'Node', metadata: { ...metadata, resourceVersion }, spec }),
    );
  }
  #bind(name: string, nodeName: string, kind: string): void {
    const ownerReferences = [{ apiVersion: 'apps/v1', kind, name: 'web', uid: 'rs', controller: true }];
    const pod = kubeObjectSchema.parse({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', uid: `uid-${++this.#version}`, labels: { app: 'web' }, ownerReferences },
      spec: { nodeName, containers: [{ name: 'app' }] },
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'True' }],
        containerStatuses: [{ name: 'app', state: { running: {} } }],
      },
    });
    this.pods.set(name, pod);
    this.#events.push({ type: 'ADDED', object: pod });
  }
  #place(name: string): void {
    const free = [...this.nodes.values()]
      .filter((node) => !isCordoned(node) && this.#ports.kubelet(node.metadata.name) !== undefined && !isMaster(node))
      .filter((node) => !taintsOf(node).some(({ effect }) => effect === 'NoSchedule'))
      .map((node) => ({
        name: node.metadata.name,
        score: taintsOf(node).filter(isSoft).length * 1000 + this.podsOn(node.metadata.name).length,
      }))
      .sort((a, b) => a.score - b.score);
    if (free[0]) this.#bind(name, free[0].name, 'ReplicaSet');
  }
}

const isSoft = ({ effect }: Taint): boolean => effect === 'PreferNoSchedule';
const isMaster = ({ metadata }: KubeObject): boolean => metadata.name.startsWith('master');
const specOf = ({ spec }: KubeObject): object => (typeof spec === 'object' && spec !== null ? spec : {});
const nodeOf = ({ spec }: KubeObject): string =>
  typeof spec === 'object' && spec !== null && 'nodeName' in spec && typeof spec.nodeName === 'string' ? spec.nodeName : '';
const neverMind = (name: string): KubeObject => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
