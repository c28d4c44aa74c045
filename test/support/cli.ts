import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Docker from 'dockerode';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Every container, network and volume of test clusters carries the cluster's name in this label, so that a crashed run is cleaned up by the next. */
export const testPrefix = 't-';

/** A cluster for one test file: its own directory, its own XDG state and config; the asset cache is shared. */
export class TestCluster {
  readonly name: string;
  readonly directory: string;
  readonly file: string;
  readonly environment: NodeJS.ProcessEnv;

  constructor(name: string, yaml: (name: string) => string) {
    this.name = `${testPrefix}${name}`;
    this.directory = mkdtempSync(join(tmpdir(), `slipway-${name}-`));
    this.file = join(this.directory, 'cluster.yaml');
    this.environment = {
      ...process.env,
      XDG_STATE_HOME: join(this.directory, 'state'),
      XDG_CONFIG_HOME: join(this.directory, 'config'),
      KUBECONFIG: join(this.directory, 'kubeconfig'),
      NO_COLOR: '1',
    };
    mkdirSync(join(this.directory, 'config'), { recursive: true });
    this.write(yaml(this.name));
  }
  write(yaml: string): void {
    writeFileSync(this.file, yaml);
  }
  edit(change: (yaml: string) => string): void {
    this.write(change(readFileSync(this.file, 'utf8')));
  }
  /** Another user than this process's, by number. */
  user: number | undefined;
  /** Where a command of the CLI is run: another network namespace, for a Docker of a test's own. */
  protected commandOf(command: string, args: readonly string[]): [string, string[]] {
    return [command, [...args]];
  }
  start(...args: string[]): ChildProcess {
    const [command, words] = this.commandOf(process.execPath, [join(root, 'bin/cluster.js'), ...args]);
    return spawn(command, words, {
      cwd: this.directory,
      env: this.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(this.user === undefined ? {} : { uid: this.user, gid: this.user }),
    });
  }
  /** Runs a command of the CLI to its end. */
  run(...args: string[]): Promise<Ended> {
    return ended(this.start(...args));
  }
  /** As run, and fails the test with the output when the exit code is not 0. */
  async must(...args: string[]): Promise<Ended> {
    const result = await this.run(...args);
    if (result.code !== 0)
      throw new Error(
        `cluster ${args.join(' ')} ended with ${result.code}\n${result.stdout.slice(-3000)}\n${result.stderr.slice(-6000)}`,
      );
    return result;
  }
  async kubectl(...args: string[]): Promise<string> {
    return (await this.must('kubectl', '--', ...args)).stdout;
  }
  async ssh(host: string, command: string): Promise<string> {
    return (await this.must('ssh', host, '--', command)).stdout;
  }
  /** Every file that the CLI wrote about this cluster. */
  files(): readonly { path: string; content: string }[] {
    return readdirSync(this.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => ({
        path: join(entry.parentPath, entry.name),
        content: readFileSync(join(entry.parentPath, entry.name), 'latin1'),
      }));
  }
  async remove(): Promise<void> {
    await this.run('down', '--yes', '--allow-data-loss');
    await removeLeftovers(this.name);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function ended(child: ChildProcess): Promise<Ended> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (data) => {
    stdout += String(data);
  });
  child.stderr?.on('data', (data) => {
    stderr += String(data);
  });
  return new Promise((done) => child.on('close', (code, signal) => done({ code, signal, stdout, stderr })));
}

export interface RunEvent {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly task: string;
  readonly type: string;
  readonly title?: string;
}
/** The events among the lines that a command with `-o json` printed. */
export const eventsIn = (stdout: string): readonly RunEvent[] =>
  stdout.split('\n').flatMap((line) => (line.startsWith('{') && line.includes('"task"') ? [JSON.parse(line) as RunEvent] : []));

const docker = new Docker();
const label = 'slipway.cluster';

/** What Docker still holds of a cluster. */
export async function leftovers(cluster: string): Promise<readonly string[]> {
  const filters = { label: [`${label}=${cluster}`] };
  const [containers, networks, volumes] = await Promise.all([
    docker.listContainers({ all: true, filters }),
    docker.listNetworks({ filters }),
    docker.listVolumes({ filters }),
  ]);
  return [
    ...containers.map((c) => `container ${c.Names[0]}`),
    ...networks.map((n) => `network ${n.Name}`),
    ...volumes.Volumes.map((v) => `volume ${v.Name}`),
  ];
}

/** Removes what an earlier run left behind, of one test cluster or (name ending in `*`) of all; nothing that is not a test's. */
export async function removeLeftovers(cluster: string): Promise<void> {
  if (!cluster.startsWith(testPrefix)) throw new Error(`${cluster} is not a test's cluster`);
  const ours = (labels: Readonly<Record<string, string>> | undefined): boolean => {
    const name = labels?.[label] ?? '';
    return cluster.endsWith('*') ? name.startsWith(cluster.slice(0, -1)) : name === cluster;
  };
  const filters = { label: [label] };
  const containers = (await docker.listContainers({ all: true, filters })).filter((c) => ours(c.Labels));
  await Promise.all(containers.map((c) => docker.getContainer(c.Id).remove({ force: true, v: true })));
  for (const network of (await docker.listNetworks({ filters })).filter((n) => ours(n.Labels)))
    await docker.getNetwork(network.Id).remove();
  for (const volume of (await docker.listVolumes({ filters })).Volumes.filter((v) => ours(v.Labels)))
    await docker.getVolume(volume.Name).remove();
}
export const dockerClient = docker;
