import type Docker from 'dockerode';
import { dockerClient, type Ended, ended, eventsIn, type RunEvent, type TestCluster } from './cli.ts';
import type { Kubectl } from './workloads.ts';

export interface Told extends RunEvent {
  readonly message?: string;
}
/** How a command ended, and what it told meanwhile. */
export interface Watched extends Ended {
  readonly events: readonly Told[];
  /** Whether there was such an event at all. */
  readonly acted: boolean;
}

/** Runs an upgrade; as soon as an event is that, does something, once, beside it. */
export async function upgradeAnd(
  cluster: TestCluster,
  args: readonly string[],
  when: (event: RunEvent) => boolean,
  act: (kill: () => void) => Promise<unknown>,
): Promise<Watched> {
  const child = cluster.start('upgrade', '--yes', '-o', 'json', ...args);
  const acted = Promise.withResolvers<unknown>();
  let [seen, rest] = [false, ''];
  child.stdout?.on('data', (data) => {
    const lines = (rest + String(data)).split('\n');
    rest = lines.pop() ?? '';
    if (seen || !eventsIn(lines.join('\n')).some(when)) return;
    seen = true;
    act(() => child.kill('SIGKILL')).then(acted.resolve, acted.reject);
  });
  const result = await ended(child);
  if (seen) await acted.promise;
  return { ...result, events: eventsIn(result.stdout), acted: seen };
}

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly unschedulable?: boolean; readonly taints?: readonly { readonly key: string }[] };
  readonly status: { readonly nodeInfo: { readonly kubeletVersion: string } };
}
export interface NodesNow {
  readonly versions: Readonly<Record<string, string>>;
  readonly cordoned: readonly string[];
  /** Of workers, `node: key`. */
  readonly taints: readonly string[];
}
export async function nodesNow(kubectl: Kubectl): Promise<NodesNow> {
  const nodes: readonly NodeObject[] = JSON.parse(await kubectl('get', 'nodes', '-o', 'json')).items;
  return {
    versions: Object.fromEntries(nodes.map(({ metadata, status }) => [metadata.name, status.nodeInfo.kubeletVersion.slice(1)])),
    cordoned: nodes.filter(({ spec }) => spec.unschedulable).map(({ metadata }) => metadata.name),
    taints: nodes
      .filter(({ metadata }) => metadata.name.startsWith('workers-'))
      .flatMap(({ metadata, spec }) => (spec.taints ?? []).map(({ key }) => `${metadata.name}: ${key}`)),
  };
}

/** The containers of a cluster, by their IDs: none is doubled or made anew where these stay. */
export async function containersOf(cluster: TestCluster): Promise<readonly string[]> {
  const containers: readonly Docker.ContainerInfo[] = await dockerClient.listContainers({
    all: true,
    filters: { label: [`slipway.cluster=${cluster.name}`] },
  });
  return containers.map(({ Id }) => Id).sort();
}
