import { machinesOf } from '../../cluster/topology.ts';
import { UnreachableError } from '../../errors.ts';
import { KubeRefusal } from '../../kube/http.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { type Lost, lostOf } from '../../rollout/room.ts';
import type { Session } from '../session.ts';

type Nodes = ReadonlyMap<string, KubeObject>;
export interface LostWorkers {
  /** All Nodes, as somebody has just been told who waits for one. */
  saw(nodes: Nodes): void;
  /** Workers of the design that are not Ready, or gone. Members of groups come and go, and are the groups'. Asks nothing where that was seen within the last `sinceMs`. */
  within(sinceMs: number, signal: AbortSignal): Promise<Lost>;
}

/** By the session's design as it is then: spares are in it for as long as they stand. */
export function lostWorkers(session: Pick<Session, 'design' | 'reach'>): LostWorkers {
  let seen: { readonly nodes: Nodes; readonly at: number } | undefined;
  const saw = (nodes: Nodes): void => {
    seen = { nodes, at: performance.now() };
  };
  return {
    saw,
    async within(sinceMs, signal) {
      const { nodes } = session.reach.kube();
      const followed = nodes.latest?.();
      if (followed) saw(followed);
      else if (!seen || seen.at <= performance.now() - sinceMs)
        await nodes.next(signal).then(saw, (error: unknown) => {
          // An API that gives no answer is for the next turn to find.
          if (!(error instanceof UnreachableError || (error instanceof KubeRefusal && error.status >= 500))) throw error;
        });
      return seen ? lostOf(machinesOf(session.design.topology, 'worker'), seen.nodes) : new Map();
    },
  };
}
