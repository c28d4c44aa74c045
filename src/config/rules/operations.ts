import { isBech32 } from '../bech32.ts';
import { cronProblem } from '../cron.ts';
import { isInstant } from '../instant.ts';
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

export const schedule: Rule = function* ({ backup }) {
  const problem = backup.schedule === undefined ? undefined : cronProblem(backup.schedule);
  if (problem)
    yield error('backup.schedule', ['backup', 'schedule'], `backup.schedule ${problem.what}`, {
      ...(problem.next === undefined ? {} : { next: problem.next }),
    });
};

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

/** A date that the calendar does not have. Whether it has come yet is not asked here: rules know no clock. */
export const osPackages: Rule = function* ({ os: { packages } }) {
  if (packages === undefined || isInstant(packages)) return;
  yield error('os.packages', ['os', 'packages'], `os.packages: there is no ${packages}`, {
    next: 'a date such as 2026-11-21, or a time in UTC such as 2026-11-21T14:30Z',
  });
};
