import { z } from 'zod';
import { messageOf, UserError } from '../../errors.ts';
import {
  addressOf,
  type Context,
  type FieldChange,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import type { KubeClients } from '../clients.ts';
import { patienceMs } from '../connect.ts';
import type { KubeObject } from '../objects.ts';
import { lacksPodNetwork, notReady } from '../readiness.ts';
import { waitFor } from '../wait.ts';
import { readNodes } from './node.ts';

export interface KubePoolProps {
  /** How many of its nodes are Ready; designed: at least. */
  readonly nodes: number;
  /** False: nodes that lack nothing but a pod network count as well. */
  readonly network: boolean;
  /** Observed only: those. */
  readonly withoutNetwork?: number;
}
type Outputs = Record<never, never>;

/** A machine that an autoscaler makes boots, fetches its programs, and waits for its certificates. */
const readyWithinMs = 600_000;

/**
 * That the nodes of a group are there (`kube.pool/workers-a`): its machines have no names in the design, and join by themselves. Creating
 * this is waiting for as many as the group has at least. One LIST tells of all.
 */
export const kubePool: ResourceType<KubePoolProps, Outputs, KubeClients> = {
  name: 'kube.pool',
  lane: 'kube.node',
  timeoutMs: readyWithinMs + patienceMs + 10_000,
  waits: true,
  async observe({ read }) {
    const groups = Map.groupBy((await read(readNodes)) ?? [], (node) => groupOf(node) ?? '');
    groups.delete('');
    return new Map([...groups].map(([name, nodes]) => [addressOf('kube.pool', name), observed(nodes)]));
  },
  diff(desired, seen): readonly FieldChange[] {
    const there = countOf(desired, seen);
    return there >= desired.nodes ? [] : [{ path: 'nodes', before: there, after: desired.nodes, impact: 'none' }];
  },
  create: (desired, ctx) => wait(desired, ctx),
  update: (desired, _outputs, ctx) => wait(desired, ctx),
};

const countOf = ({ network }: KubePoolProps, seen: KubePoolProps): number =>
  seen.nodes + (network ? 0 : (seen.withoutNetwork ?? 0));

const observed = (nodes: readonly KubeObject[]): Observation<KubePoolProps, Outputs> => ({
  state: 'present',
  props: propsOf(nodes),
  outputs: {},
});
const propsOf = (nodes: readonly KubeObject[]): KubePoolProps => ({
  nodes: nodes.filter((node) => notReady(node) === undefined).length,
  network: true,
  withoutNetwork: nodes.filter(lacksPodNetwork).length,
});

const nodeSchema = z.looseObject({ spec: z.looseObject({ providerID: z.string().default('') }).prefault({}) });
/** `workers-eu-central-1a`: by the label that it registered with, and by where its cloud says that it is. Undefined: of no group. */
export function groupOf(node: KubeObject): string | undefined {
  const pool = node.metadata.labels?.['slipway.dev/pool'];
  const [, zone] = /^[a-z]+:\/\/\/([^/]+)\/[^/]+$/.exec(nodeSchema.parse(node).spec.providerID) ?? [];
  return pool === undefined || zone === undefined ? undefined : `${pool}-${zone}`;
}

async function wait(desired: Resolved<KubePoolProps>, ctx: Context<KubeClients>): Promise<Outputs> {
  const { clients, signal, address, progress } = ctx;
  const group = nameOf(address);
  await clients.api({ waitMs: patienceMs, signal });
  let said = -1;
  await waitFor({
    poll: clients.nodes,
    timeoutMs: readyWithinMs,
    signal,
    missing: (nodes) => {
      const own = [...nodes.values()].filter((node) => groupOf(node) === group);
      const there = countOf(desired, propsOf(own));
      if (there !== said) progress('Ready', { done: there, of: desired.nodes, unit: 'nodes' });
      said = there;
      if (there >= desired.nodes) return undefined;
      const waiting = own.flatMap((node) => {
        const why = notReady(node);
        return why === undefined ? [] : [`${node.metadata.name}: ${why}`];
      });
      return [`${there} of ${desired.nodes} nodes are Ready`, ...waiting].join('\n');
    },
    failure: async (why) =>
      new UserError({
        what: `its machines did not become nodes within ${readyWithinMs / 60_000} minutes`,
        where: `group ${group}`,
        why: [why, ...(await refusals(clients, signal))].join('\n'),
        next: 'cluster logs MASTER -u slipway-agent says who was let in and who was not; a machine itself logs to slipway-boot. Then run the same command again',
      }),
  });
  return {};
}

const requestSchema = z.looseObject({
  status: z
    .looseObject({ conditions: z.array(z.looseObject({ type: z.string(), message: z.string().default('') })).default([]) })
    .prefault({}),
});
/** What the agent has refused, and what nobody has decided. */
async function refusals(clients: KubeClients, signal: AbortSignal): Promise<readonly string[]> {
  try {
    const api = await clients.api({ signal });
    const requests = await api.list('certificates.k8s.io/v1', 'CertificateSigningRequest', { signal });
    const lines = requests
      .filter(({ metadata }) => metadata.name.startsWith('slipway-'))
      .flatMap((request) => {
        const { conditions } = requestSchema.parse(request).status;
        const denied = conditions.find(({ type }) => type === 'Denied' || type === 'Failed');
        if (denied) return [`${request.metadata.name} was refused: ${denied.message}`];
        return conditions.length === 0 ? [`${request.metadata.name} is not decided: does an agent run on the masters?`] : [];
      });
    return lines.length > 0 ? lines.slice(0, 5) : ['no machine of it has asked for a certificate that was refused'];
  } catch (error) {
    return [`requests for certificates cannot be listed: ${messageOf(error)}`];
  }
}
