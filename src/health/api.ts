import type { Finding } from '../config/finding.ts';
import { nameOf, type Observed, type Resource } from '../plan/resource.ts';
import type { NodesSeen } from './nodes.ts';
import type { ApiStatus } from './status.ts';

/** The API as asked through its balancer. `refused`: it answered, and not well. `server`: where it is reached; undefined: it is not there yet. */
export interface ApiFacts {
  readonly server: string | undefined;
  readonly nodes: NodesSeen;
  readonly refused: boolean;
}

export function apiStatus({ server, nodes, refused }: ApiFacts): ApiStatus | undefined {
  if (server === undefined || nodes.state === 'absent') return undefined;
  if (nodes.state === 'present') return { url: server, state: 'ready' };
  return { url: server, state: refused ? 'not-ready' : 'unreachable', why: nodes.why };
}

const isReady = (observation: ReturnType<Observed['get']>): boolean =>
  observation?.state === 'present' && 'ready' in observation.props && observation.props.ready === true;

/** Does the API answer, and is each master's API server ready? */
export function apiFindings(api: ApiStatus | undefined, resources: readonly Resource[], seen: Observed): readonly Finding[] {
  const next = 'cluster logs masters -u kube-apiserver';
  if (!api)
    return [
      {
        severity: 'error',
        check: 'api.absent',
        what: 'there is no Kubernetes API yet: the cluster is half made',
        next: 'cluster up',
      },
    ];
  // A master that cannot be reached is told with the machines.
  const notReady = resources
    .filter(({ address, type }) => type === 'kube.api' && !isReady(seen.get(address)))
    .map(({ address }) => nameOf(address))
    .filter((name) => seen.get(`host.bundle/${name}`)?.state === 'present');
  const findings = notReady.map(
    (name): Finding => ({ severity: 'error', check: 'api.server', where: name, what: 'its API server is not ready', next }),
  );
  if (api.state === 'ready')
    return findings.length > 0 ? findings : [{ severity: 'ok', check: 'api.ready', what: 'the API is ready' }];
  const what =
    api.state === 'not-ready'
      ? 'the Kubernetes API answers, and is not ready'
      : 'the Kubernetes API does not answer: what is in the cluster is unknown';
  const check = api.state === 'not-ready' ? 'api.not-ready' : 'api.unreachable';
  // Ready on their hosts, and not from here: it is the way to them.
  const mend = findings.length > 0 ? next : 'cluster up mends its balancer, should that not run';
  return [{ severity: 'error', check, where: api.url, what, ...(api.why ? { why: api.why } : {}), next: mend }, ...findings];
}
