import type { NodeTerms } from '../../kube/drain/pod.ts';
import { holds } from '../../kube/requirement.ts';
import type { NodeRoom, PodDemand, Taint, Toleration } from './demand.ts';

type Wanted = Pick<PodDemand, 'selector' | 'affinity' | 'tolerations'>;

/** Would the scheduler ask whether there is room at all? By node selector, required node affinity and taints. */
export const admits = (node: NodeRoom, { selector, affinity, tolerations }: Wanted): boolean =>
  Object.entries(selector).every(([key, value]) => node.labels[key] === value) &&
  (affinity === undefined || affinity.nodeSelectorTerms.some((term) => satisfies(node, term))) &&
  node.taints.every((taint) => tolerations.some((each) => tolerates(each, taint)));

const tolerates = ({ key, operator, value, effect }: Toleration, taint: Taint): boolean =>
  (effect === '' || effect === taint.effect) &&
  (key === '' ? operator === 'Exists' : key === taint.key && (operator === 'Exists' || value === taint.value));

type Term = NodeTerms['nodeSelectorTerms'][number];
/** As k8s.io/component-helpers: scheduling/corev1/nodeaffinity; a term without a requirement is satisfied by no node. */
function satisfies({ name, labels }: NodeRoom, { matchExpressions, matchFields }: Term): boolean {
  return (
    matchExpressions.length + matchFields.length > 0 &&
    matchExpressions.every((each) => holds(labels[each.key], each)) &&
    matchFields.every((each) => holds(each.key === 'metadata.name' ? name : undefined, each))
  );
}
