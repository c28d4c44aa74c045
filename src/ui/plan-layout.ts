import type { Change, Plan } from '../plan/plan.ts';
import type { FieldChange } from '../plan/resource.ts';
import { type PlaceOf, placeByName } from './place.ts';
import { sanitize } from './text.ts';

export interface PlanOptions {
  readonly placeOf?: PlaceOf;
}

export interface PlanGroup {
  readonly zone: string | undefined;
  readonly role: string | undefined;
  readonly changes: readonly Change[];
}
export interface PlanLayout {
  /** What is carried out now, by zone and role; what belongs to no zone comes first. */
  readonly groups: readonly PlanGroup[];
  /** Differences that this command leaves, by what carries them out. */
  readonly left: ReadonlyMap<LeftTo, readonly Change[]>;
  readonly unseen: readonly Change[];
  readonly counts: Readonly<Record<Counted, number>>;
}
type LeftTo = 'upgrade' | 'allow-data-loss';
const counted = ['create', 'update', 'replace', 'delete'] as const;
type Counted = (typeof counted)[number];

/** Pure: what a plan says, in the order in which it is shown. */
export const layoutPlan = (plan: Plan, { placeOf = placeByName }: PlanOptions = {}): PlanLayout => {
  const groups = new Map<string, { zone: string | undefined; role: string | undefined; changes: Change[] }>();
  const left = new Map<LeftTo, Change[]>();
  const unseen: Change[] = [];
  const counts: Record<Counted, number> = { create: 0, update: 0, replace: 0, delete: 0 };
  for (const change of plan.changes) {
    if (change.action === 'unknown' || ('left' in change.when && change.when.left === 'unseen')) unseen.push(change);
    else if ('left' in change.when) push(left, change.when.left === 'upgrade' ? 'upgrade' : 'allow-data-loss', change);
    else {
      counts[change.action]++;
      const place = placeOf(change.address);
      const key = place ? `${place.zone === undefined ? 1 : `2 ${place.zone}`} ${roleOrder(place.role)} ${place.role}` : '0';
      const group = groups.get(key) ?? { zone: place?.zone, role: place?.role, changes: [] };
      group.changes.push(change);
      groups.set(key, group);
    }
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  return { groups: sorted, left, unseen, counts };
};

const push = <K, V>(map: Map<K, V[]>, key: K, value: V): void => {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
};

const order = ['network', 'bastion', 'etcd', 'master', 'worker'];
const roleOrder = (role: string): number => (order.includes(role) ? order.indexOf(role) : order.length);

/** `2 to create, 1 to update; 3 left to upgrade; 1 not seen`, or that nothing differs. */
export const countsText = (layout: PlanLayout): string => {
  const now = counted.filter((action) => layout.counts[action] > 0).map((action) => `${layout.counts[action]} to ${action}`);
  const rest = [...layout.left].map(([to, changes]) => `${changes.length} left to ${commandOf(to)}`);
  if (layout.unseen.length > 0) rest.push(`${layout.unseen.length} not seen`);
  return [now.length > 0 ? now.join(', ') : 'nothing to do now', ...rest].join('; ');
};
export const isEmpty = (layout: PlanLayout): boolean =>
  layout.groups.length === 0 && layout.left.size === 0 && layout.unseen.length === 0;

/** To what a change is left. There is no command for upgrades yet, so that none is named. */
export const commandOf = (left: LeftTo): string => (left === 'upgrade' ? '`upgrade`' : '`--allow-data-loss`');

export const signOf = (change: Change): string =>
  ({ create: '+', update: '~', replace: '±', delete: '-', unknown: '?' })[change.action];

/** A field as `path: before → after`. */
export const fieldText = (field: FieldChange, limit: number): string => {
  const note = field.note ? ` (${sanitize(field.note)})` : '';
  return `${sanitize(field.path)}: ${valueText(field.before, limit)} → ${afterText(field.after, limit)}${note}`;
};

const afterText = (after: FieldChange['after'], limit: number): string =>
  typeof after === 'object' && after !== null && 'pending' in after && typeof after.pending === 'string'
    ? `known after ${after.pending}`
    : valueText(after, limit);

const valueText = (value: unknown, limit: number): string => {
  if (value === null || value === undefined) return 'nothing';
  const text = sanitize(JSON.stringify(value));
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
};
