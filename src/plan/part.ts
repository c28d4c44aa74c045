import type { Plan, Step } from './plan.ts';
import type { Address } from './resource.ts';

/**
 * The part of a plan that concerns the chosen addresses: their changes and steps, in the plan's order. What a step waited for through steps that
 * are not part of it it still waits for, where that is in the part itself. Pure.
 */
export function partOf(plan: Plan, chosen: (address: Address) => boolean): Plan {
  const changes = plan.changes.filter(({ address }) => chosen(address));
  const all = new Map(plan.steps.map((step) => [step.id, step]));
  const inside = (step: Step): boolean => chosen(step.params.address);
  const known = new Map<string, readonly string[]>();
  /** A step itself if it is inside, else what it waits for, and so on. */
  const nearest = (id: string): readonly string[] => {
    const before = known.get(id);
    if (before) return before;
    const step = all.get(id);
    known.set(id, []); // a plan has no cycles
    const found = step === undefined ? [] : inside(step) ? [id] : unique(step.after.flatMap(nearest));
    known.set(id, found);
    return found;
  };
  const steps = plan.steps.filter(inside).map((step): Step => ({ ...step, after: unique(step.after.flatMap(nearest)) }));
  return { ...plan, changes, steps };
}

const unique = (ids: readonly string[]): string[] => [...new Set(ids)];
