import type { DownResult } from '../lifecycle/down.ts';
import { plural } from './text.ts';
import type { View } from './view.ts';

export const downView: View<DownResult> = {
  json: (result) => ({ formatVersion: 1, ...result }),
  human({ cluster, outcome, deleted, kept }) {
    const head = {
      done: `${cluster} is down: ${plural(deleted, 'thing')} deleted.`,
      'nothing to do': `Nothing of ${cluster} is there.`,
      declined: 'Nothing was changed.',
    }[outcome];
    if (kept.length === 0) return head;
    return [
      head,
      'Kept:',
      ...kept.map((thing) => `  ${thing}`),
      'Next: cluster up brings it back with its data; cluster down --allow-data-loss deletes these too',
    ].join('\n');
  },
};
