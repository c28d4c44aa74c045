import { error, listed, type Rule } from './rule.ts';

export const oneProvider: Rule = function* ({ provider }) {
  const given = Object.entries(provider)
    .filter(([, value]) => value !== undefined)
    .map(([key]) => key);
  if (given.length !== 1)
    yield error(
      'provider.one',
      ['provider'],
      `provider has ${given.length === 0 ? 'none of local, aws, gcp' : listed(given)}; it must have exactly one`,
      { next: given.length === 0 ? 'write `local: {}` for this machine' : 'remove the others' },
    );
};

export const localPorts: Rule = function* ({ provider: { local } }) {
  if (local && local.apiPort !== 0 && local.apiPort === local.sshPort)
    yield error('provider.ports', ['provider', 'local', 'sshPort'], `apiPort and sshPort are both ${local.apiPort}`, {
      next: 'choose another port, or leave one out',
    });
};
