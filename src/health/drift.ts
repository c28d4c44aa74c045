import type { Finding } from '../config/finding.ts';
import type { Change, Plan } from '../plan/plan.ts';
import type { DriftStatus } from './status.ts';

/** A plan's differences, as lines. */
export function driftStatus(plan: Plan): DriftStatus {
  const of = (wanted: (when: Change['when']) => boolean): readonly string[] =>
    plan.changes.filter(({ when }) => wanted(when)).map(lineOf);
  return {
    now: of((when) => 'now' in when),
    left: of((when) => 'left' in when && when.left !== 'unseen'),
    unknown: of((when) => 'left' in when && when.left === 'unseen'),
  };
}

const lineOf = ({ address, action, fields, reason, when }: Change): string => {
  if ('left' in when && when.left === 'unseen') return `${address}: ${when.because}`;
  const what = action === 'update' && fields.length > 0 ? fields.map(({ path }) => path).join(', ') : reason;
  return `${address}: ${what}`;
};

/** Is the world as the file says? */
export function driftFindings({ now, unknown }: DriftStatus): readonly Finding[] {
  const check = 'drift';
  if (now.length > 0) {
    const what = `${now.length} ${now.length === 1 ? 'difference' : 'differences'} to cluster.yaml`;
    return [{ severity: 'warning', check, what, next: 'cluster plan shows them, cluster up carries them out' }];
  }
  return unknown.length > 0 ? [] : [{ severity: 'ok', check, what: 'everything is as cluster.yaml says' }];
}
