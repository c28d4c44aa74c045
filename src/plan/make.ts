import { canonicalJson, digestOf } from './canonical.ts';
import { choose, type Policy } from './choose.ts';
import { diff, type Types } from './diff.ts';
import { order } from './order.ts';
import type { Change, Plan } from './plan.ts';
import type { FieldChange, Observed, Resource } from './resource.ts';

export interface PlanInput {
  readonly tool: string;
  readonly cluster: string;
  readonly specDigest: string;
  readonly desired: readonly Resource[];
  /** Of these, the ones that are compared with what is; steps are ordered through all. Default: all. */
  readonly compared?: readonly Resource[];
  readonly observed: Observed;
  readonly types: Types;
  readonly policy: Policy;
  /** What the caller leaves to a later command besides: a version that only `upgrade` may move. */
  readonly left?: readonly Change[];
}

/** The whole pure way from what is wanted and what is to what will be done. */
export function makePlan({
  tool,
  cluster,
  specDigest,
  desired,
  compared = desired,
  observed,
  types,
  policy,
  left = [],
}: PlanInput): Plan {
  const changes = [...choose(diff(compared, observed, types), desired, types, policy), ...left];
  return {
    formatVersion: 1,
    tool,
    cluster,
    command: policy.command,
    specDigest,
    worldDigest: digestOf(changes.map((change) => [change.address, propsOf(observed, change.address)])),
    changes,
    steps: [...order(changes, desired, types, compared)],
  };
}
const propsOf = (observed: Observed, address: Plan['changes'][number]['address']): object | null => {
  const seen = observed.get(address);
  return seen?.state === 'present' ? seen.props : null;
};

/** What a plan is about to do, as sets of the reader's interest. */
export const chosenOf = (plan: Plan) => plan.changes.filter((change) => 'now' in change.when);
export const leftOf = (plan: Plan) => plan.changes.filter((change) => 'left' in change.when && change.when.left !== 'unseen');
export const unseenOf = (plan: Plan) => plan.changes.filter((change) => 'left' in change.when && change.when.left === 'unseen');

/** Prices may change in between. */
const promisedBy = ({ cost: _, ...plan }: Plan) => canonicalJson(plan);
export const samePlan = (a: Plan, b: Plan): boolean => promisedBy(a) === promisedBy(b);
/** After a crash: `now` is what remains of `saved` when every change that it still has was promised; what was pending then may be known now. */
export function isRemainder(now: Plan, saved: Plan): boolean {
  if (now.cluster !== saved.cluster || now.command !== saved.command || now.specDigest !== saved.specDigest) return false;
  const promised = new Map(
    saved.changes.map((change) => [`${change.action} ${change.address} ${canonicalJson(change.when)}`, change]),
  );
  return now.changes.every((change) => {
    // Half of what was to be made: the rest follows from the same design.
    if (change.action === 'update' && promised.has(`create ${change.address} ${canonicalJson(change.when)}`)) return true;
    const before = promised.get(`${change.action} ${change.address} ${canonicalJson(change.when)}`);
    const fields = new Map(before?.fields.map((field) => [field.path, field]));
    return before !== undefined && change.fields.every((field) => matches(field, fields.get(field.path)));
  });
}
const matches = (now: FieldChange, saved: FieldChange | undefined): boolean =>
  saved !== undefined && (isPending(saved.after) || canonicalJson(now.after) === canonicalJson(saved.after));
const isPending = (after: FieldChange['after']): boolean => typeof after === 'object' && after !== null && 'pending' in after;
