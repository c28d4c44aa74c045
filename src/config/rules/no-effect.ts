import type { Path } from '../path.ts';
import { type RuleFinding, warning } from './rule.ts';

/** Keys that this version accepts and does not act on yet: only what a person wrote is worth a word, so this asks the file and not the defaults. */
const notYet: readonly { readonly path: Path; readonly why: string }[] = [
  {
    path: ['backup', 'schedule'],
    why: 'this version takes recovery points by `cluster backup` and before upgrades: let cron or a pipeline call `cluster backup`',
  },
  { path: ['secrets', 'observers'], why: 'this version seals secrets to secrets.recipients only' },
];

export const noEffect = (written: (path: Path) => boolean): readonly RuleFinding[] =>
  notYet
    .filter(({ path }) => written(path))
    .map(({ path, why }) => warning('config.no-effect', path, `${path.join('.')} has no effect in this version`, { why }));
