import { z } from 'zod';
import { minorOf } from '../../assets/version-order.ts';
import type { Finding } from '../../config/finding.ts';
import type { Options } from '../../config/kubernetes-options.ts';
import { apiServersOf, asClients, componentsOf, mastersIn } from '../../health/components.ts';
import type { EtcdStatus, NodeStatus, VersionStatus } from '../../health/status.ts';
import type { KubeApi } from '../../kube/client.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { sparesOf } from '../lanes.ts';
import type { Hop } from '../path.ts';
import type { Lane, Obstacle, Wave } from '../rollout.ts';
import { deprecatedApis, deprecatedLines, storedObjects } from './apis.ts';
import { capacityForDrain, type DrainLane } from './capacity.ts';
import { type Daemons, daemonObstacles } from './daemons.ts';
import type { NodeRoom, PodDemand } from './demand.ts';
import { nodeRoom } from './demand.ts';
import { healthObstacles } from './health.ts';
import { optionObstacles } from './options.ts';
import { goesIn, removedBetween } from './removed-kinds.ts';
import { skewObstacles } from './skew.ts';
import { countLines, type LonelyKind, lonelyKinds, orphanedObjects } from './stored-kinds.ts';

/** What of the API the checks look at. */
export interface ApiWorld {
  /** /metrics of the API servers, as far as they are about deprecated APIs, and how many objects of each kind are stored. */
  readonly metrics: readonly string[];
  /** Kinds that the target has in no version of now. */
  readonly lonely?: readonly LonelyKind[];
  /** Masters whose API servers did not say. */
  readonly silent?: readonly string[];
  /** Definitions, and objects of kinds of which the target has lost a version. */
  readonly objects: readonly KubeObject[];
  readonly nodes: readonly NodeRoom[];
}

type Api = Pick<KubeApi, 'list' | 'raw' | 'kind'>;
/** Asks each API server past the balancer. */
type Servers = <T>(ask: (server: Pick<KubeApi, 'raw'>) => Promise<T>) => Promise<ReadonlyMap<string, T | undefined>>;

/** Asks the API for all but pods, which are many and read by whoever plans the drains. `from`, `to`: versions of Kubernetes. */
export async function readApiWorld(
  api: Api,
  servers: Servers,
  { from, to, signal }: { readonly from: string; readonly to: string; readonly signal: AbortSignal },
): Promise<ApiWorld> {
  // Of other kinds nothing would be said.
  const gone = removedBetween(from, to).map(({ apiVersion, kind }) => `${apiVersion.replace(/\/.*/, '')} ${kind}`);
  const metricsOf = async (server: Pick<KubeApi, 'raw'>) => {
    const text = await server.raw('/metrics', { signal });
    return [deprecatedLines(text), countLines(text)].filter(Boolean).join('\n');
  };
  const [said, groups, nodes, definitions] = await Promise.all([
    servers(metricsOf),
    api.raw('/apis', { signal }),
    api.list('v1', 'Node', { signal }),
    api.list('apiextensions.k8s.io/v1', 'CustomResourceDefinition', { signal }),
  ]);
  const served = new Map(groupsSchema.parse(JSON.parse(groups)).groups.map(versionsOf));
  const lonely = await lonelyKinds(api, served, { from, to, signal });
  const stored = await Promise.all(
    [...new Set(gone)].map((name) => {
      const [group = '', kind = ''] = name.split(' ');
      const staying = (served.get(group) ?? []).filter((apiVersion) => goesIn(apiVersion, kind) > minorOf(to) + 1);
      return listBy(api, staying, kind, signal);
    }),
  );
  const metrics = [...said.values()].filter((text) => text !== undefined);
  return {
    // Where none can be asked alone, whoever answers for all of them.
    metrics: metrics.length > 0 ? metrics : [await metricsOf(api)],
    silent: [...said].flatMap(([name, text]) => (text === undefined ? [name] : [])),
    lonely,
    objects: [...definitions, ...stored.flat()],
    nodes: nodes.map(nodeRoom),
  };
}
const groupsSchema = z.looseObject({
  groups: z.array(z.looseObject({ name: z.string(), versions: z.array(z.looseObject({ groupVersion: z.string() })) })),
});
const versionsOf = ({ name, versions }: z.infer<typeof groupsSchema>['groups'][number]): readonly [string, readonly string[]] => [
  name,
  versions.map(({ groupVersion }) => groupVersion),
];

/** By the first version that has any. Never by one that goes: the API server would count this very question as a use of it. */
async function listBy(api: Api, versions: readonly string[], kind: string, signal: AbortSignal): Promise<readonly KubeObject[]> {
  for (const apiVersion of versions) {
    const found = await api.list(apiVersion, kind, { signal, metadataOnly: true });
    if (found.length > 0) return found;
  }
  return [];
}

export interface PreflightInput {
  /** cluster.yaml. */
  readonly file: Options;
  readonly hops: readonly Hop[];
  readonly waves: readonly Wave[];
  readonly maxDrains: number;
  /** As `status` has them. */
  readonly findings: readonly Finding[];
  readonly etcd: readonly EtcdStatus[];
  readonly nodes: readonly NodeStatus[];
  readonly versions: VersionStatus;
  /** Machines whose turn a stopped upgrade had begun. */
  readonly underWay: ReadonlySet<string>;
  /** Machines that are brought back to what is in force before the first turn. */
  readonly healed?: ReadonlySet<string>;
  /** Machines that are no longer in cluster.yaml, of which something is left to take away. */
  readonly leaving?: ReadonlySet<string>;
  readonly api: ApiWorld;
  readonly pods: readonly PodDemand[];
  readonly daemons?: Daemons;
  /** Workers that are made before the first turn: their room is not known yet. */
  readonly made?: number;
}

/** Everything that speaks against beginning, by name, errors first. Pure. What keeps single pods from leaving is asked by the plan of drains. */
export function preflightObstacles(input: PreflightInput): readonly Obstacle[] {
  const { file, hops, waves, maxDrains, findings, etcd, nodes, versions, underWay, healed, leaving, api, pods, made = 0 } = input;
  const target = hops.at(-1)?.versions.kubernetes ?? '';
  const all = [
    ...healthObstacles({ findings, etcd, underWay, ...(healed && { healed }), ...(leaving && { leaving }) }),
    ...(input.daemons
      ? daemonObstacles({ ...input.daemons, waves, nodes, mended: new Set([...underWay, ...(healed ?? [])]) })
      : []),
    ...skewObstacles(
      {
        apiServers: apiServersOf(versions),
        others: asClients(componentsOf(versions), mastersIn(nodes)),
        underWay,
        kubelets: nodes.flatMap(({ name, role, kubelet, ready }) =>
          role === 'master' || role === 'worker' ? [{ name, role, version: kubelet, away: ready !== true }] : [],
        ),
        etcd: etcd.map(({ members }) =>
          members.flatMap(({ name, version }) => (version === undefined ? [] : [{ name, version }])),
        ),
      },
      hops,
    ),
    ...optionObstacles(file, hops),
    ...deprecatedApis(api.metrics, target),
    ...unasked(api.silent),
    ...storedObjects(api.objects, target),
    ...orphanedObjects(api.lonely ?? [], api.metrics, target),
    ...capacityForDrain({
      nodes: api.nodes,
      pods,
      waves: [...waves.map(({ lanes }) => lanes.flatMap(drains)), goneForGood(waves, made)],
      maxDrains,
    }),
  ];
  const once = eachOnce(all);
  return [...once.filter(({ severity }) => severity === 'error'), ...once.filter(({ severity }) => severity === 'warning')];
}

/** A machine, or a lane, of chained minors is there once a hop; what is said of it is said once. */
export const eachOnce = (obstacles: readonly Obstacle[]): readonly Obstacle[] => [
  ...new Map(obstacles.map((obstacle) => [`${obstacle.where} ${obstacle.what}`, obstacle])).values(),
];

/** Clients keep to one API server for long: of these nobody knows what they use. */
const unasked = (silent: readonly string[] = []): readonly Obstacle[] =>
  silent.length === 0
    ? []
    : [
        {
          severity: 'warning',
          where: silent.join(', '),
          what: 'which deprecated APIs are in use could not be asked there',
          why: 'each API server counts the requests that it has answered',
          next: 'cluster status says what does not answer; then look again',
        },
      ];

function drains(lane: Lane): readonly DrainLane[] {
  const { name, turns, maxUnavailable } = lane;
  const nodes = turns.filter(({ drain }) => drain).map(({ machine }) => machine);
  if (nodes.length === 0) return [];
  const surge = sparesOf(lane);
  return [{ name, nodes, atOnce: maxUnavailable + surge, surge }];
}

/** Machines that are no longer wanted: what stays has to do without all of them. Those that are made first count as nodes like theirs. */
function goneForGood(waves: readonly Wave[], made: number): readonly DrainLane[] {
  const lanes = waves.flatMap((wave) => wave.lanes);
  const spares = new Set(lanes.flatMap(({ first }) => first.map(({ machine }) => machine)));
  const nodes = lanes.flatMap(({ last }) => last).filter(({ machine, drain }) => drain && !spares.has(machine));
  if (nodes.length === 0) return [];
  return [
    { name: 'machines that go', nodes: nodes.map(({ machine }) => machine), atOnce: nodes.length, surge: made, forGood: true },
  ];
}
