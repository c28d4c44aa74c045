import { type Pod, podKey } from './pod.ts';

/** Of a controller that had no pod here at first. */
const lateMost = 2;

/**
 * Which pods this drain is about: those that the first look found, and as many again of each controller, which may have been told of late. What keeps
 * coming has passed the cordon by, by a toleration or by the node's name in its template, and would do so for ever.
 */
export function takesPart(): (pod: Pod, look: number) => boolean {
  const verdicts = new Map<string, boolean>();
  const open = new Map<string, number>();
  let first: number | undefined;
  const judge = (pod: Pod, look: number): boolean => {
    first ??= look;
    const owner = pod.controller ? `${pod.namespace}/${pod.controller.kind}/${pod.controller.name}` : podKey(pod);
    const left = open.get(owner);
    if (look === first) open.set(owner, (left ?? 0) + 1);
    else open.set(owner, (left ?? lateMost) - 1);
    return look === first || (!pod.toleratesCordon && (left ?? lateMost) > 0);
  };
  return (pod, look) => {
    const verdict = verdicts.get(pod.uid) ?? judge(pod, look);
    verdicts.set(pod.uid, verdict);
    return verdict;
  };
}
