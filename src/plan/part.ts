import type { Change, Plan, Step } from './plan.ts';
import type { Address } from './resource.ts';

/**
 * The part of a plan that concerns the chosen addresses: their changes and steps, in the plan's order. What a step waited for through steps that
 * are not part of it it still waits for, where that is in the part itself. `carries`: of an update, the fields that this part carries out; it holds the
 * others back. Pure.
 */
export function partOf(
  plan: Plan,
  chosen: (address: Address) => boolean,
  carries: (address: Address, path: string) => boolean = () => true,
): Plan {
  const held = new Map<Address, readonly string[]>();
  const changes = plan.changes
    .filter(({ address }) => chosen(address))
    .flatMap((change): Change[] => {
      if (change.action !== 'update') return [change];
      const [mine, others] = partition(change.fields, ({ path }) => carries(change.address, path));
      if (others.length === 0) return [change];
      held.set(change.address, [...(held.get(change.address) ?? []), ...others.map(({ path }) => path)]);
      return mine.length === 0 ? [] : [{ ...change, fields: [...mine] }];
    });
  const idle = (address: Address): boolean =>
    held.has(address) && !changes.some((change) => change.address === address && 'now' in change.when);
  const inside = ({ params: { address } }: Step): boolean => chosen(address) && !idle(address);
  const steps = stepsOf(plan.steps, inside).map((step): Step => {
    const hold = unique([...step.params.hold, ...(held.get(step.params.address) ?? [])]);
    return { ...step, params: { ...step.params, hold } };
  });
  return { ...plan, changes, steps };
}

/** Those that are inside, in their order. What one of them waited for through others it still waits for, where that is inside, too. */
export function stepsOf(steps: readonly Step[], inside: (step: Step) => boolean): Step[] {
  const all = new Map(steps.map((step) => [step.id, step]));
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
  return steps.filter(inside).map((step) => ({ ...step, after: unique(step.after.flatMap(nearest)) }));
}

const unique = (ids: readonly string[]): string[] => [...new Set(ids)];
const partition = <T>(all: readonly T[], belongs: (one: T) => boolean): readonly [readonly T[], readonly T[]] => [
  all.filter(belongs),
  all.filter((one) => !belongs(one)),
];
