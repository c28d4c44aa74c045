import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { UnreachableError, UserError } from '../errors.ts';
import type { KubeApi } from './client.ts';
import { KubeRefusal } from './http.ts';
import type { ObjectName } from './objects.ts';
import { patiently } from './wait.ts';

/**
 * Who leads among the controller managers, and among the schedulers. While nobody does, no EndpointSlice follows its pods: a drain in that time takes
 * pods away to which Services go on sending requests.
 */
const leases: readonly ObjectName[] = ['kube-controller-manager', 'kube-scheduler'].map((name) => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  namespace: 'kube-system',
  name,
}));
const leaseSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string().optional() }),
  spec: z
    .looseObject({
      holderIdentity: z.string().default(''),
      acquireTime: z.string().default(''),
      renewTime: z.string().default(''),
    })
    .prefault({}),
});
type Api = Pick<KubeApi, 'get' | 'patch'>;

/** Which of these programs lead on a machine, by upstream's identities: the host's name and a UUID of the process. */
export async function leadsOn(
  api: Api,
  machine: string,
  programs: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const asked = leases.filter(({ name }) => programs.includes(name));
  const found = await Promise.all(asked.map((name) => patiently(() => api.get(name, signal), signal)));
  const holders = found.map((lease) => leaseSchema.parse(lease ?? nobody).spec.holderIdentity);
  return new Set(holders.filter((holder) => holder.startsWith(`${machine}_`)));
}
/** Programs of which one leads. */
export const ledPrograms: readonly string[] = leases.map(({ name }) => name);

/**
 * Takes the lead from processes that have stopped: upstream's do not give it back when they stop, and the others would wait until it expires, 15 s.
 * Never of one that may live: two would lead for a while.
 */
export async function releaseLeads(api: Api, stopped: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  if (stopped.size === 0) return;
  await Promise.all(
    leases.map(async (name) => {
      const { metadata, spec } = leaseSchema.parse((await patiently(() => api.get(name, signal), signal)) ?? nobody);
      if (!stopped.has(spec.holderIdentity)) return;
      const body = [
        { op: 'test', path: '/metadata/resourceVersion', value: metadata.resourceVersion },
        { op: 'replace', path: '/spec/holderIdentity', value: '' },
      ];
      try {
        await api.patch(name, 'application/json-patch+json', body, signal);
      } catch (error) {
        // Another one has taken it meanwhile, or it expires: all that is lost is time.
        if (!(error instanceof KubeRefusal || error instanceof UnreachableError)) throw error;
      }
    }),
  );
}
const nobody = { metadata: {}, spec: {} };

/** Who was without an API server for minutes asks it again for what it must know, before it may lead, at ever longer intervals: up to a minute (client-go's reflectors). */
const leadWithinMs = 120_000;
/** A new leader first reads all that there is: so long it must have led. */
const settledMs = 2_000;

/** Waits until each has a leader that is at work: it has renewed its lead for a while. Throws UserError after two minutes. A cluster where none has ever led has none to wait for. */
export async function waitForLeaders(api: Api, signal: AbortSignal): Promise<void> {
  const end = performance.now() + leadWithinMs;
  for (const name of leases) {
    for (let first = ''; ; ) {
      const found = await patiently(() => api.get(name, signal), signal);
      if (!found) break;
      const { holderIdentity, acquireTime, renewTime } = leaseSchema.parse(found).spec;
      const renewed = first !== '' && renewTime !== first;
      if (holderIdentity !== '' && renewed && Date.parse(renewTime) - Date.parse(acquireTime) >= settledMs) break;
      first ||= renewTime;
      if (performance.now() > end)
        throw new UserError({
          what: `nobody leads: ${name.name} has no leader that renews its lease`,
          where: `Lease ${name.namespace}/${name.name}`,
          why:
            holderIdentity === '' ? 'it has no holder' : `${holderIdentity} holds it since ${acquireTime}, renewed ${renewTime}`,
          next: 'cluster logs of the masters; then run the same command again',
        });
      await sleep(200, undefined, { signal });
    }
  }
}
