import type { Bundle } from '../../src/components/bundle.ts';
import type { Access, ExecResult, Host, HostFacts, Hosts } from '../../src/host/host.ts';
import { filesOf, hostEnvPath } from '../../src/host/manifest.ts';
import { sha256 } from '../../src/plan/canonical.ts';

/** What a host in memory holds: everything of one bundle, all its units running. */
interface Held {
  readonly bundle: Bundle;
  readonly identity: Readonly<Record<string, string>>;
  /** Of its files, by path. */
  readonly digests: Readonly<Record<string, string>>;
}

/**
 * Hosts that exist in memory: they answer the script by which hosts are observed as a host would that holds its bundle, and every other
 * command as the one that asks whether all units have restarted.
 * `probes`: what their probes say, by name. `answers`: of a host, what it says to a command that is none of these.
 */
export class MemoryHosts implements Hosts {
  readonly held = new Map<string, Held>();
  /** When its units started last, in milliseconds since the epoch. */
  readonly started = new Map<string, number>();
  readonly #access: () => Access;
  readonly #probes: (host: string) => HostFacts['probes'];
  readonly #answers: (host: string, command: string) => string | undefined;
  #calls = 0;

  constructor(
    access: () => Access,
    probes: (host: string) => HostFacts['probes'] = () => new Map(),
    answers: (host: string, command: string) => string | undefined = () => undefined,
  ) {
    this.#access = access;
    this.#probes = probes;
    this.#answers = answers;
  }
  /** Commands that were run, on all hosts. */
  get calls(): number {
    return this.#calls;
  }
  access(): Access {
    return this.#access();
  }
  async get(name: string): Promise<Host> {
    const never = (): never => {
      throw new Error('a host in memory has no streams');
    };
    return {
      name,
      exec: async (command) => {
        this.#calls++;
        if (command === 'sh -s') return said(this.#observe(name));
        return said(this.#answers(name, command) ?? `${this.started.get(name) ?? 0}`);
      },
      interactive: never,
      stream: never,
    };
  }
  tunnel = (): never => {
    throw new Error('a host in memory has no tunnels');
  };
  async close(): Promise<void> {}

  /** The answer of templates/host/observe. */
  #observe(name: string): string {
    const held = this.held.get(name);
    const lines = ['boot b0', 'generation 0'];
    if (!held) return [...lines, '--- sums', '--- stat', clock(), '--- units', '--- text', '--- probes', '--- end'].join('\n');
    const { bundle, identity, digests } = held;
    const files = filesOf(bundle);
    const paths = new Set([hostEnvPath, ...files.map(({ path }) => path)]);
    const sums = new Map([
      [hostEnvPath, sha256(JSON.stringify(identity))],
      ...files.map(({ path }) => [path, digests[path] ?? sha256('')] as const),
      ...bundle.units.map(({ name: unit, text }) => [`/etc/systemd/system/${unit}`, sha256(text)] as const),
    ]);
    const sum = (path: string): string => `${sums.get(path) ?? sha256('')}  ${path}`;
    return [
      ...lines,
      `bundle ${bundle.name}`,
      ...Object.entries(identity).map(([key, value]) => `env ${key}="${value.replaceAll(/["\\$`]/g, '\\$&')}"`),
      ...[...paths].map((path) => `file ${path}`),
      ...bundle.units.flatMap(({ name: unit, text, serving, inputs }) => [
        `unit ${unit} ${serving ? 'serving' : '-'} ${sha256(text)}`,
        ...inputs.map((path) => `input ${unit} ${path}`),
      ]),
      ...bundle.assets.map(({ path }) => `asset ${path}`),
      '--- sums',
      ...[...sums.keys()].map(sum),
      '--- stat',
      clock(),
      `644 root 0 ${hostEnvPath}`,
      ...files.map(({ path, mode }) => `${mode.replace(/^0/, '')} root 0 ${path}`),
      '--- units',
      bundle.units.map(({ name: unit }) => `Id=${unit}\nActiveState=active\nUnitFileState=enabled\nJob=\n`).join('\n'),
      '--- text',
      ...bundle.units.flatMap(({ name: unit, inputs }) => [
        `/run/slipway/inputs/${unit}`,
        ...[`/etc/systemd/system/${unit}`, ...inputs].map((path) => ` ${sum(path)}`),
      ]),
      '--- probes',
      ...[...this.#probes(name)].flatMap(([probe, { code, stdout }]) => [
        `/run/slipway/probe.1.${probe}`,
        ...stdout.split('\n').map((line) => ` ${line}`),
        ` ${code}`,
      ]),
      '--- end',
    ].join('\n');
  }
}
const clock = (): string => `600 root ${(Date.now() / 1000).toFixed(3)} /run/slipway/clock`;
const said = (stdout: string): ExecResult => ({ code: 0, stdout, stderr: '' });
