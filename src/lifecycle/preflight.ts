import type { Topology } from '../cluster/topology.ts';
import type { Finding } from '../config/finding.ts';
import { exitCodes, UserError } from '../errors.ts';
import type { Provider } from '../provider.ts';
import { designCluster } from './design.ts';
import { readRecord } from './identity.ts';
import { inForce } from './in-force.ts';
import type { Opened } from './opened.ts';

export interface Preflight {
  readonly cluster: string;
  readonly findings: readonly Finding[];
}

/** Everything that would make `up` fail, all at once, before anything is made: of the file, and of the place where the cluster is to run. */
export async function preflight(opened: Opened, ofFile: readonly Finding[]): Promise<Preflight> {
  const { cluster, provider, manifests, signal } = opened;
  const store = await provider.store(cluster, { create: false }, signal);
  const record = await readRecord(store);
  const { topology } = designCluster(inForce(cluster, record).variants, record, provider, manifests);
  const findings = [...ofFile];
  for await (const finding of provider.verify(topology, signal)) findings.push(finding);
  return { cluster: cluster.name, findings };
}

/** What `up` asks before it makes machines: the place's errors, and nothing else. */
export async function errorsOfPlace(
  provider: Pick<Provider, 'verify'>,
  topology: Topology,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const errors: Finding[] = [];
  for await (const finding of provider.verify(topology, signal)) if (finding.severity === 'error') errors.push(finding);
  return errors;
}

/** Throws one UserError with every error found. */
export function refuseErrors(errors: readonly Finding[]): void {
  if (errors.length === 0) return;
  throw new UserError(
    {
      what: `${errors.length === 1 ? 'one thing' : `${errors.length} things`} would make this fail`,
      why: errors.map((finding) => [finding.where, finding.what, finding.why].filter(Boolean).join(': ')).join('\n'),
      next:
        errors
          .map((finding) => finding.next)
          .filter(Boolean)
          .join('\n') || 'mend these and run `cluster preflight` again',
    },
    exitCodes.failed,
  );
}
