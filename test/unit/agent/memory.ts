import type { AgentCloud, HeldMachine, Instance } from '../../../src/agent/cloud.ts';
import type { AgentKube, AgentNode, AgentPod, Lease } from '../../../src/agent/kube.ts';

/** A cluster in memory, as the agent sees it. */
export class MemoryKube implements AgentKube {
  readonly objects: unknown[] = [];
  readonly decided = new Map<string, string>();
  readonly nodesByName = new Map<string, AgentNode>();
  readonly podsByNode = new Map<string, AgentPod[]>();
  /** Names of pods that a disruption budget holds. */
  readonly protectedPods = new Set<string>();
  readonly secrets = new Map<string, Readonly<Record<string, string>>>();
  current: Lease | undefined;
  /** Every call fails: the API server is down. */
  down = false;
  #version = 0;

  async requests() {
    return this.objects;
  }
  async decideRequest(name: string, decision: string, message: string) {
    this.decided.set(name, `${decision}: ${message}`);
  }
  async nodes() {
    return [...this.nodesByName.values()];
  }
  node(name: string, over: Partial<AgentNode> = {}): void {
    this.nodesByName.set(name, { name, ready: true, cordoned: false, notice: undefined, ...over });
  }
  async cordon(node: string) {
    const found = this.nodesByName.get(node);
    if (found) this.nodesByName.set(node, { ...found, cordoned: true });
  }
  async pods(node: string) {
    return this.podsByNode.get(node) ?? [];
  }
  async evict(pod: AgentPod) {
    if (this.protectedPods.has(pod.name)) return false;
    for (const [node, pods] of this.podsByNode)
      this.podsByNode.set(
        node,
        pods.filter(({ uid }) => uid !== pod.uid),
      );
    return true;
  }
  async secret(name: string) {
    return this.secrets.get(name);
  }
  async applySecret(name: string, type: string, data: Readonly<Record<string, string>>) {
    this.secrets.set(name, { ...data, type });
  }
  async lease() {
    if (this.down) throw new Error('the API gives no answer');
    return this.current;
  }
  async putLease(lease: Lease, before: Lease | undefined) {
    if (this.down) throw new Error('the API gives no answer');
    if (this.current?.version !== before?.version) return false;
    this.current = { ...lease, version: String(++this.#version) };
    return true;
  }
}

export class MemoryCloud implements AgentCloud {
  readonly machines = new Map<string, Instance>();
  readonly holding: HeldMachine[] = [];
  readonly released: string[] = [];
  readonly proofs = new Map<string, string>();
  readonly tokens = new Map<string, string>();
  /** How often EC2 was asked for instances. */
  described = 0;
  genuine = true;

  async instances(ids: readonly string[]) {
    this.described++;
    return new Map([...this.machines].filter(([id]) => ids.includes(id)));
  }
  async held() {
    return [...this.holding];
  }
  async release(machine: HeldMachine, how: string) {
    this.released.push(`${machine.instance} ${machine.why} ${how}`);
    this.holding.splice(this.holding.indexOf(machine), 1);
  }
  async keepHolding() {}
  async proof(instance: string) {
    return this.proofs.get(instance);
  }
  async isGenuine() {
    return this.genuine;
  }
  async token(pool: string) {
    return this.tokens.get(pool);
  }
  async putToken(pool: string, token: string) {
    this.tokens.set(pool, token);
  }
}
