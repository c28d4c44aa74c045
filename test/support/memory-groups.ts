import type { Group, GroupMember, GroupsPort } from '../../src/provider.ts';

interface Held {
  desired: number;
  before: number | undefined;
  version: number;
  members: { machine: string; version: string }[];
}

/** A cloud's groups in memory: they make the machines that they want at once, each of the group's version by then. Every change is an act, which may kill. */
export class MemoryGroups implements GroupsPort {
  readonly types = ['pool.bundle', 'memory.pool'];
  readonly held = new Map<string, Held>();
  readonly log: string[] = [];
  /** What new machines are made from, where it is not the group's own version. */
  current: (() => string) | undefined;
  onAct: (act: string) => void = () => undefined;
  /** A machine that was made joins; one that ended is gone. */
  onMade: (machine: string, group: string) => void = () => undefined;
  onEnded: (machine: string) => void = () => undefined;
  #made = 0;

  add(name: string, size: number): void {
    this.held.set(name, { desired: size, before: undefined, version: 1, members: [] });
    this.#fill(name);
  }
  outdates(): boolean {
    return true;
  }
  async read(): Promise<ReadonlyMap<string, Group>> {
    const seen = (group: Held): Group => ({
      desired: group.desired,
      before: group.before,
      members: group.members.map(
        ({ machine, version }): GroupMember => ({ machine, going: false, old: version !== this.#versionOf(group) }),
      ),
    });
    return new Map([...this.held].map(([name, group]) => [name, seen(group)]));
  }
  async raise(name: string, desired: number): Promise<void> {
    const group = this.group(name);
    if (group.before === undefined) {
      group.before = group.desired;
      this.#act(`note ${name}`);
    }
    if (group.desired === desired) return;
    group.desired = desired;
    this.#fill(name);
    this.#act(`raise ${name} to ${desired}`);
  }
  async end(name: string, machine: string, { shrink }: { readonly shrink: boolean }): Promise<void> {
    const group = this.group(name);
    if (!group.members.some((one) => one.machine === machine)) return;
    group.members = group.members.filter((one) => one.machine !== machine);
    if (shrink) group.desired--;
    this.onEnded(machine);
    this.#fill(name);
    this.#act(`end ${machine}${shrink ? ' and its place' : ''}`);
  }
  async settle(name: string, desired: number | undefined): Promise<void> {
    const group = this.group(name);
    if (group.before === undefined) return;
    group.desired = desired ?? group.desired;
    for (const { machine } of group.members.splice(group.desired)) this.onEnded(machine);
    group.before = undefined;
    this.#act(`settle ${name}`);
  }
  group(name: string): Held {
    return this.held.get(name) ?? fail(name);
  }

  #versionOf({ version }: Held): string {
    return this.current?.() ?? String(version);
  }
  #fill(name: string): void {
    const group = this.group(name);
    while (group.members.length < group.desired) {
      const machine = `i-${String(++this.#made).padStart(2, '0')}`;
      group.members.push({ machine, version: this.#versionOf(group) });
      this.onMade(machine, name);
    }
  }
  #act(act: string): void {
    this.log.push(act);
    this.onAct(act);
  }
}
const fail = (name: string): never => {
  throw new Error(`no group ${name}`);
};
