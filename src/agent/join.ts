import { messageOf } from '../errors.ts';
import type { AgentCloud } from './cloud.ts';
import type { AgentConfig } from './config.ts';
import { decide, type Evidence, type Proof, parseProof } from './decide.ts';
import type { AgentKube } from './kube.ts';
import { type JoinCsr, parseCsr } from './request.ts';

export interface Joining {
  readonly config: AgentConfig;
  readonly kube: Pick<AgentKube, 'requests' | 'decideRequest' | 'nodes'>;
  readonly cloud: Pick<AgentCloud, 'instances' | 'proof' | 'isGenuine'>;
  readonly log: (line: string) => void;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Looks at every open request of a machine that joins, and decides those that can be. Returns how many are open still. */
export async function decideRequests({ config, kube, cloud, log, now, signal }: Joining): Promise<number> {
  const open: JoinCsr[] = [];
  for (const object of await kube.requests(signal)) {
    try {
      const csr = await parseCsr(object);
      if (csr) open.push(csr);
    } catch (error) {
      log(`a request cannot be read: ${messageOf(error)}`);
    }
  }
  if (open.length === 0) return 0;
  const byInstance = Map.groupBy(open, ({ instance }) => instance);
  const [instances, nodes] = await Promise.all([cloud.instances([...byInstance.keys()], signal), kube.nodes(signal)]);
  const ready = new Set(nodes.filter((node) => node.ready).map(({ name }) => name));
  let left = 0;
  for (const [id, requests] of byInstance) {
    const instance = instances.get(id);
    // What is not ours to begin with costs no further question.
    const proof =
      instance?.cluster === config.cluster && requests.some(({ renewal }) => !renewal)
        ? await proofOf(id, cloud, signal)
        : undefined;
    const evidence: Evidence = { instance, proof, nameTaken: ready.has(id), now: now() };
    for (const csr of requests) {
      const decision = decide(csr, evidence, config);
      if (decision.kind === 'wait') left++;
      else {
        const approved = decision.kind === 'approve';
        const message = approved ? `instance ${id} has proved who it is` : decision.why;
        await kube.decideRequest(csr.name, approved ? 'Approved' : 'Denied', message, signal);
        log(`${csr.name}: ${approved ? 'approved' : `denied: ${decision.why}`}`);
      }
    }
  }
  return left;
}

async function proofOf(instance: string, cloud: Joining['cloud'], signal: AbortSignal): Promise<Proof | undefined> {
  const text = await cloud.proof(instance, signal);
  const said = text === undefined ? undefined : parseProof(text);
  if (!said) return undefined;
  const { bytes, document, signature, keys } = said;
  return { document, keys, genuine: await cloud.isGenuine(bytes, signature, signal) };
}
