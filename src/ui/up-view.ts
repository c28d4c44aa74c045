import type { UpResult } from '../lifecycle/up.ts';
import { findingText } from './findings-view.ts';
import { plural } from './text.ts';
import type { View } from './view.ts';

export const upView: View<UpResult> = {
  json: (result) => ({ formatVersion: 1, ...result }),
  human({ cluster, outcome, changed, left, runId, findings }, look) {
    const { style } = look;
    const lines = [headline(cluster, outcome, changed, runId), ...findings.map((finding) => findingText(finding, look))];
    if (left.length > 0) {
      lines.push(`${plural(left.length, 'difference')} left:`);
      for (const change of left) {
        if (!('left' in change.when)) continue;
        lines.push(
          `  ${change.address} ${style.dim(change.fields.map((field) => field.path).join(', '))}: left to ${change.when.left}, because ${change.when.because}`,
        );
      }
    }
    if (outcome === 'done') lines.push('Next: cluster kubeconfig, then kubectl get nodes');
    return lines.join('\n');
  },
};

function headline(cluster: string, outcome: UpResult['outcome'], changed: number, runId: string): string {
  switch (outcome) {
    case 'nothing to do':
      return `${cluster} is as its file says: nothing to do.`;
    case 'done':
      return `${cluster} is up: ${plural(changed, 'step')} done, and a new look finds nothing left to do (run ${runId}).`;
    case 'declined':
      return 'Nothing was changed.';
  }
}
