import pLimit from 'p-limit';
import { z } from 'zod';
import type { KubeApi } from '../client.ts';
import { KubeRefusal } from '../http.ts';
import { type KubeObject, marks } from '../objects.ts';
import { changeTaints, NodeGone, type Taint, taintKey, taintsOf } from '../taints.ts';
import { patiently } from '../wait.ts';
import { staying } from './leaving.ts';

/** Owns our cordons, and nothing else. */
const manager = 'slipway-cordon';
const specSchema = z.looseObject({ spec: z.looseObject({ unschedulable: z.boolean().default(false) }).prefault({}) });

/**
 * Keeps new pods from a node. By server-side apply with a field manager of its own: where somebody else has cordoned the node as well, the field
 * has two owners, and `uncordon` takes away only ours (hard part 13). Throws NodeGone.
 */
export async function cordon(
  api: Pick<KubeApi, 'get' | 'apply'>,
  node: string,
  { runId, signal }: { readonly runId: string; readonly signal?: AbortSignal },
): Promise<{ readonly alsoBy: 'nobody else' | 'somebody else' }> {
  return patiently(async () => {
    const found = await api.get({ apiVersion: 'v1', kind: 'Node', name: node }, signal);
    if (!found) throw new NodeGone({ what: 'it has no Node object', where: `node ${node}`, next: 'cluster status' });
    const metadata = { name: node, uid: found.metadata.uid, annotations: { [marks.cordon]: runId } };
    await api.apply({ apiVersion: 'v1', kind: 'Node', metadata, spec: { unschedulable: true } }, options(signal));
    return { alsoBy: isCordoned(found) && !cordonedByUs(found) ? 'somebody else' : 'nobody else' };
  }, signal);
}

/**
 * Takes away our cordon, of whichever run (one that was killed left its own), the mark that the node is due, and what told balancers that it goes. A node that
 * somebody else cordoned stays so, and one that is gone needs nothing. Two calls, and one more where it has not been seen with our cordon (`seen`), or has
 * changed since.
 */
export async function uncordon(
  api: Pick<KubeApi, 'get' | 'apply' | 'patch'>,
  node: string,
  signal?: AbortSignal,
  seen?: KubeObject,
): Promise<void> {
  const letGo = async (found: KubeObject | undefined): Promise<void> => {
    if (!found) return;
    // First: pods that come now prefer it to those which are due.
    await setTaints(api, found, (all) => staying(all).filter((taint) => !isSoft(taint)), signal);
    if (!cordonedByUs(found)) return;
    // What this manager applied before and does not apply now goes, unless it has another owner.
    await api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: node, uid: found.metadata.uid } }, options(signal));
  };
  await patiently(async () => {
    try {
      if (seen && cordonedByUs(seen)) return await letGo(seen);
    } catch (error) {
      // Its UID is another one's by now.
      if (!(error instanceof KubeRefusal) || ![404, 409].includes(error.status)) throw error;
    }
    await letGo(await api.get({ apiVersion: 'v1', kind: 'Node', name: node }, signal));
  }, signal);
}
const options = (signal?: AbortSignal) => ({ manager, ...(signal ? { signal } : {}) });

export const isCordoned = (node: KubeObject): boolean => specSchema.parse(node).spec.unschedulable;
/** A cordon of ours, or what is left of one that somebody has undone. */
export const cordonedByUs = (node: KubeObject): boolean => node.metadata.annotations?.[marks.cordon] !== undefined;

const ownedSchema = z.looseObject({ 'f:spec': z.looseObject({}).default({}) });
/** Somebody else has cordoned it, whether we have too or not. */
export const isCordonedByOthers = (node: KubeObject): boolean =>
  isCordoned(node) &&
  (node.metadata.managedFields ?? []).some((entry) => {
    const owned = ownedSchema.safeParse(entry.fieldsV1);
    return entry.manager !== manager && owned.success && 'f:unschedulable' in owned.data['f:spec'];
  });

/** Its key is its mark: `kube.node` neither designs nor compares it. */
const softTaint: Taint = { key: 'slipway.dev/upgrade', value: 'due', effect: 'PreferNoSchedule' };
const isSoft = (taint: Taint): boolean => taintKey(taint) === taintKey(softTaint);

/**
 * Pods that move prefer nodes that have had their turn, and so move once: puts the soft taint on the nodes that `due` names, and takes it off all
 * others. One PATCH for each that differs, none for the rest.
 */
export async function preferNoSchedule(
  api: Pick<KubeApi, 'get' | 'patch'>,
  nodes: readonly KubeObject[],
  due: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<void> {
  const limit = pLimit(8);
  await Promise.all(
    nodes
      .filter((node) => taintsOf(node).some(isSoft) !== due.has(node.metadata.name))
      .map((node) => limit(() => setSoftTaint(api, node, due.has(node.metadata.name), signal))),
  );
}

async function setSoftTaint(
  api: Pick<KubeApi, 'get' | 'patch'>,
  node: KubeObject,
  due: boolean,
  signal?: AbortSignal,
): Promise<void> {
  const change = (all: readonly Taint[]) => [...all.filter((taint) => !isSoft(taint)), ...(due ? [softTaint] : [])];
  await patiently(() => setTaints(api, node, change, signal), signal);
}

async function setTaints(
  api: Pick<KubeApi, 'get' | 'patch'>,
  node: KubeObject,
  change: (all: readonly Taint[]) => readonly Taint[],
  signal?: AbortSignal,
): Promise<void> {
  try {
    await changeTaints(api, node.metadata.name, change, { from: node, ...(signal ? { signal } : {}) });
  } catch (error) {
    // Gone in between, perhaps with its machine: nothing to mark.
    if (!(error instanceof NodeGone)) throw error;
  }
}
