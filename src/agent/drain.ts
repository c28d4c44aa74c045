import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentKube } from './kube.ts';

export interface Drain {
  readonly kube: Pick<AgentKube, 'cordon' | 'pods' | 'evict'>;
  readonly node: string;
  readonly because: string;
  /** The machine goes then, whatever is left. */
  readonly withinMs: number;
  readonly signal: AbortSignal;
  readonly log?: (line: string) => void;
  readonly pollMs?: number;
}

/** Cordons the node and evicts its pods, as their disruption budgets allow. Returns how many are left when time is up. */
export async function drain({ kube, node, because, withinMs, signal, log, pollMs = 2_000 }: Drain): Promise<number> {
  await kube.cordon(node, because, signal);
  const asked = new Set<string>();
  const refused = new Set<string>();
  for (const end = performance.now() + withinMs; ; ) {
    const pods = (await kube.pods(node, signal)).filter(({ stays }) => !stays);
    if (pods.length === 0 || performance.now() > end) return pods.length;
    for (const pod of pods) {
      if (asked.has(pod.uid)) continue;
      if (await kube.evict(pod, signal)) asked.add(pod.uid);
      else if (!refused.has(pod.uid)) {
        refused.add(pod.uid);
        log?.(`${node}: ${pod.namespace}/${pod.name} stays for now, as its disruption budget asks`);
      }
    }
    await sleep(pollMs, undefined, { signal });
  }
}
