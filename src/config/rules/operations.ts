import { isBech32 } from '../bech32.ts';
import { error, type Rule } from './rule.ts';

/** Native age recipients (X25519): `age1` and 58 letters of Bech32. */
export const recipients: Rule = function* ({ secrets }) {
  for (const key of ['recipients', 'observers'] as const) {
    for (const [i, recipient] of secrets[key].entries()) {
      const path = ['secrets', key, i];
      if (/^age-secret-key-/i.test(recipient))
        yield error('secrets.private', path, `secrets.${key} holds a private key of age`, {
          why: 'whoever reads this file can open everything that was sealed for it',
          next: 'make a new key, put its recipient (age1...) here, and remove this one from the history of the file',
        });
      else if (!(recipient.length === 62 && isBech32(recipient, 'age')))
        yield error('secrets.recipient', path, `${JSON.stringify(recipient.slice(0, 80))} is not an age recipient`, {
          why: /^age1/.test(recipient) ? 'its checksum does not fit: a letter is wrong or missing' : 'recipients begin with age1',
          next: 'take the line "public key" that age-keygen prints',
        });
      else if (secrets[key].indexOf(recipient) < i) yield error('secrets.recipient', path, `${recipient} is named twice`);
      else if (key === 'observers' && secrets.recipients.includes(recipient))
        yield error('secrets.observer', path, `${recipient} is an observer and a recipient`, {
          why: 'a recipient can open everything',
          next: 'remove it from one of the two',
        });
    }
  }
};

/** The five fields of cron(5): least and greatest value of each. */
const fields = [
  ['minute', 0, 59],
  ['hour', 0, 23],
  ['day of month', 1, 31],
  ['month', 1, 12],
  ['day of week', 0, 7],
] as const;
export const schedule: Rule = function* ({ backup }) {
  if (backup.schedule === undefined) return;
  const path = ['backup', 'schedule'];
  const parts = backup.schedule.trim().split(/\s+/);
  if (/^@(hourly|daily|weekly|monthly)$/.test(backup.schedule)) return;
  if (parts.length !== fields.length)
    return yield error(
      'backup.schedule',
      path,
      `backup.schedule has ${parts.length} ${parts.length === 1 ? 'field' : 'fields'}; cron has 5`,
      { next: 'minute, hour, day of month, month, day of week: "0 3 * * *", or @daily' },
    );
  for (const [i, [name, least, most]] of fields.entries())
    if (!(parts[i] ?? '').split(',').every((part) => cronPart(part, least, most)))
      yield error(
        'backup.schedule',
        path,
        `backup.schedule has ${JSON.stringify((parts[i] ?? '').slice(0, 40))} as its ${name}; it must be * or numbers from ${least} to ${most}, with - , /`,
      );
};
function cronPart(part: string, least: number, most: number): boolean {
  const [, from, to, step] = /^(\*|\d{1,2})(?:-(\d{1,2}))?(?:\/(\d{1,2}))?$/.exec(part) ?? [];
  if (from === undefined || (step !== undefined && Number(step) < 1)) return false;
  if (from === '*') return to === undefined;
  const [low, high] = [Number(from), Number(to ?? from)];
  return low >= least && high <= most && low <= high;
}

export const manifests: Rule = function* ({ addons }) {
  for (const [i, manifest] of addons.manifests.entries()) {
    const path = ['addons', 'manifests', i];
    if (/^[a-z]+:\/\//i.test(manifest))
      yield error('addons.manifest', path, `${manifest.slice(0, 80)} is a URL`, {
        why: 'what runs in the cluster must be in the same repository as cluster.yaml',
        next: 'save the manifest beside cluster.yaml, and name that file',
      });
    if (addons.manifests.indexOf(manifest) < i) yield error('addons.manifest', path, `${manifest} is named twice`);
  }
};

export const mirror: Rule = function* ({ assets }) {
  const text = assets.mirror;
  if (text === undefined || !text.includes('://')) return;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:', 'file:'].includes(url.protocol))
    yield error('assets.mirror', ['assets', 'mirror'], 'assets.mirror is neither a directory nor an http, https or file URL', {
      next: 'such as https://mirror.example.com/slipway or /srv/slipway',
    });
  else if (url.password !== '' || url.username !== '')
    yield error('assets.mirror', ['assets', 'mirror'], 'assets.mirror holds a password', {
      why: 'cluster.yaml is kept in git',
      next: 'let the mirror be read without one',
    });
};
