import { marks } from '../objects.ts';
import type { Pod } from './pod.ts';

/** After its turn, a node has this long for what runs on every node to be ready on it. */
export const daemonsWithinMs = 120_000;

export const isOfDaemonSet = ({ controller }: Pod): boolean => controller?.kind === 'DaemonSet';
export const isWell = ({ ready, terminating }: Pod): boolean => ready && !terminating;
/** What nodes need, and not somebody's own: it must be ready after a turn, whatever it was before. */
export const isSystem = ({ namespace, labels }: Pod): boolean => namespace === 'kube-system' || labels[marks.addon] !== undefined;
/** `namespace/name` */
export const daemonSetOf = ({ namespace, controller }: Pod): string => `${namespace}/${controller?.name}`;
