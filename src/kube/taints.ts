import { z } from 'zod';
import { UserError } from '../errors.ts';
import { canonicalJson } from '../plan/canonical.ts';
import type { KubeApi } from './client.ts';
import { KubeRefusal } from './http.ts';
import type { KubeObject } from './objects.ts';

export const taintSchema = z.looseObject({ key: z.string(), value: z.string().default(''), effect: z.string() });
export interface Taint {
  readonly key: string;
  readonly value: string;
  readonly effect: string;
}
export const taintKey = ({ key, effect }: Taint): string => `${key}:${effect}`;
export const sameTaint = (a: Taint, b: Taint): boolean => taintKey(a) === taintKey(b) && a.value === b.value;

const nodeSchema = z.looseObject({ spec: z.looseObject({ taints: z.array(taintSchema).default([]) }).prefault({}) });
export const taintsOf = (node: KubeObject): readonly Taint[] => nodeSchema.parse(node).spec.taints;

/** There is no such node, or no more. */
export class NodeGone extends UserError {
  override readonly name = 'NodeGone';
}

/**
 * spec.taints is one atomic list that the node controllers write too: changed against the version that was read, and read again where somebody
 * was faster. `from`: the node, where it has been read just now. Throws NodeGone.
 */
export async function changeTaints(
  api: Pick<KubeApi, 'get' | 'patch'>,
  name: string,
  change: (all: readonly Taint[], node: KubeObject) => readonly Taint[],
  { signal, from }: { readonly signal?: AbortSignal; readonly from?: KubeObject } = {},
): Promise<KubeObject> {
  for (let attempt = 1; ; attempt++) {
    const node = (attempt === 1 && from) || (await api.get({ apiVersion: 'v1', kind: 'Node', name }, signal));
    if (!node) throw new NodeGone({ what: 'its Node object is gone', where: `node ${name}`, next: 'run the same command again' });
    const all = taintsOf(node);
    const wanted = change(all, node);
    if (canonicalJson(wanted) === canonicalJson(all)) return node;
    try {
      const body = [
        { op: 'test', path: '/metadata/resourceVersion', value: node.metadata.resourceVersion },
        { op: 'add', path: '/spec/taints', value: wanted },
      ];
      return await api.patch({ apiVersion: 'v1', kind: 'Node', name }, 'application/json-patch+json', body, signal);
    } catch (error) {
      const raced = error instanceof KubeRefusal && [404, 409, 422].includes(error.status);
      if (!raced || attempt >= 10) throw error;
    }
  }
}
