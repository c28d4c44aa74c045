import { z } from 'zod';
import type { KubeObject } from './objects.ts';

/** `but for a pod network`: not Ready, and that is all that it lacks. */
export type Readiness = boolean | 'but for a pod network';

const nodeSchema = z.looseObject({
  status: z
    .looseObject({
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), message: z.string().default('') })).default([]),
    })
    .prefault({}),
});

/** Why a node is not Ready; undefined: it is. */
export function notReady(node: KubeObject): string | undefined {
  const { conditions } = nodeSchema.parse(node).status;
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return undefined;
  return ready ? `Ready is ${ready.status}: ${ready.message}` : 'its kubelet has not reported yet';
}

/** The kubelet joins several reasons with commas, in brackets: this is the only one. */
const lacksNetwork = /^container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady/;
/** Not Ready, for no other reason than that no pod network has been installed. */
export function lacksPodNetwork(node: KubeObject): boolean {
  const ready = nodeSchema.parse(node).status.conditions.find(({ type }) => type === 'Ready');
  return ready?.status === 'False' && lacksNetwork.test(ready.message);
}
export const readiness = (node: KubeObject): Readiness =>
  notReady(node) === undefined || (lacksPodNetwork(node) && 'but for a pod network');
export const isEnough = (found: Readiness, designed: Readiness): boolean =>
  found === true || (found !== false && found === designed);
