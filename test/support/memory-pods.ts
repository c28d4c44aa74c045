import { setTimeout as sleep } from 'node:timers/promises';
import type { Eviction, KubeApi, Watched } from '../../src/kube/client.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

/** Pods in memory: evicted, they are gone `stopsMs` later. Counts what is asked. */
export class MemoryPods implements Pick<KubeApi, 'pages' | 'watch' | 'evict' | 'delete' | 'list'> {
  readonly calls: string[] = [];
  readonly pods = new Map<string, KubeObject>();
  stopsMs = 20;
  budgets: readonly KubeObject[] = [];
  /** What the next calls of a kind throw. */
  readonly failures: { call: string; error: Error }[] = [];
  refuse: (name: string) => Eviction | undefined = () => undefined;
  #version = 1;
  #watchers = new Set<(event: Watched) => void>();
  #cuts = new Set<(error: Error) => void>();
  put(object: KubeObject): void {
    this.#tell(this.pods.has(object.metadata.name) ? 'MODIFIED' : 'ADDED', object);
    this.pods.set(object.metadata.name, object);
  }
  remove(name: string): void {
    const object = this.pods.get(name);
    this.pods.delete(name);
    if (object) this.#tell('DELETED', object);
  }
  cut(error: Error): void {
    for (const cut of this.#cuts) cut(error);
  }
  #tell(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject): void {
    const told = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    for (const watcher of this.#watchers) watcher({ type, object: told });
  }
  #asked(call: string): void {
    this.calls.push(call);
    const i = this.failures.findIndex((failure) => failure.call === call);
    const [failure] = i < 0 ? [] : this.failures.splice(i, 1);
    if (failure) throw failure.error;
  }
  async *pages() {
    this.#asked('list pods');
    yield { items: [...this.pods.values()], resourceVersion: String(this.#version) };
  }
  async *watch(): AsyncGenerator<Watched> {
    this.#asked('watch pods');
    const queue: Watched[] = [];
    let wake = (): void => {};
    let failed: Error | undefined;
    const watcher = (event: Watched): void => {
      queue.push(event);
      wake();
    };
    const cut = (error: Error): void => {
      failed = error;
      wake();
    };
    this.#watchers.add(watcher);
    this.#cuts.add(cut);
    try {
      for (;;) {
        yield* queue.splice(0);
        if (failed) throw failed;
        if (queue.length === 0) await new Promise<void>((done) => (wake = done));
      }
    } finally {
      this.#watchers.delete(watcher);
      this.#cuts.delete(cut);
    }
  }
  async list(_version: string, kind: string): Promise<readonly KubeObject[]> {
    this.#asked(`list ${kind}`);
    return kind === 'PodDisruptionBudget' ? this.budgets : [];
  }
  async evict({ name }: { name: string }): Promise<Eviction> {
    this.#asked(`evict ${name}`);
    const refusal = this.refuse(name);
    if (refusal) return refusal;
    const pod = this.pods.get(name);
    if (pod) this.put({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: 'now' } });
    void sleep(this.stopsMs).then(() => this.remove(name));
    return { state: 'accepted' };
  }
  async delete({ name }: { name: string }): Promise<void> {
    this.#asked(`delete ${name}`);
    void sleep(20).then(() => this.remove(name));
  }
  count(call: string): number {
    return this.calls.filter((each) => each.startsWith(call)).length;
  }
}
