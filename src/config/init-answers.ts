import { exitCodes, UserError } from '../errors.ts';
import type { InitAnswers } from './init.ts';
import { expectation } from './issues.ts';
import { clusterSchema, type ProviderName } from './schema.ts';
import { kubernetesVersions, newestKubernetes } from './versions.ts';

/** What was given by flags. */
export interface GivenAnswers {
  readonly name?: string | undefined;
  readonly provider?: string | undefined;
  /** With commas: `a,b,c`. */
  readonly zones?: string | undefined;
  readonly masters?: number | undefined;
  readonly etcd?: number | undefined;
  readonly workers?: number | undefined;
  readonly version?: string | undefined;
  readonly project?: string | undefined;
  /** With commas: ranges, or addresses. */
  readonly 'ssh-from'?: string | undefined;
}
/** A person at a terminal. */
export interface Asker {
  text(
    message: string,
    options: { readonly default?: string; readonly check?: (answer: string) => true | string },
  ): Promise<string>;
  one(
    message: string,
    choices: readonly { readonly value: string; readonly name?: string }[],
    byDefault: string,
  ): Promise<string>;
}

export const providerNames: readonly ProviderName[] = ['local', 'aws', 'gcp'];

/** Flags first, then questions, then defaults. Without an asker an answer that has no default is a UserError (usage) that names the flag. */
export async function collectAnswers(given: GivenAnswers, asker: Asker | undefined): Promise<InitAnswers> {
  const needed = async (
    flag: string,
    value: string | undefined,
    message: string,
    check: (answer: string) => true | string,
  ): Promise<string> => {
    if (value === undefined && asker) return (await asker.text(message, { check })).trim();
    if (value === undefined)
      throw new UserError(
        { what: `--${flag} is missing, and there is no terminal to ask on`, next: `Add --${flag} to the command` },
        exitCodes.usage,
      );
    const verdict = check(value);
    if (verdict !== true) throw new UserError({ what: `--${flag} ${value.slice(0, 80)}: ${verdict}` }, exitCodes.usage);
    return value;
  };
  const optional = async (
    value: string | undefined,
    message: string,
    byDefault: string,
    check: (answer: string) => true | string,
  ): Promise<string> => value ?? (asker ? (await asker.text(message, { default: byDefault, check })).trim() : byDefault);
  const count = async (value: number | undefined, message: string, byDefault: number, most: number): Promise<number> =>
    value ?? Number(await optional(undefined, message, String(byDefault), (text) => isCount(text, most)));

  const name = await needed('name', given.name, 'Name of the cluster:', isName);
  const provider = await providerOf(given.provider, asker);
  const zones =
    provider === 'local'
      ? await optional(given.zones, 'Zones:', 'a,b,c', hasZones)
      : await needed(
          'zones',
          given.zones,
          `Zones, such as ${provider === 'aws' ? 'eu-central-1a,eu-central-1b,eu-central-1c' : 'europe-west3-a,europe-west3-b,europe-west3-c'}:`,
          hasZones,
        );
  const project =
    provider === 'gcp'
      ? await needed('project', given.project, 'Project of Google Cloud:', (text) => text !== '' || 'a project is needed')
      : undefined;
  const sshFrom =
    provider === 'local'
      ? undefined
      : await needed(
          'ssh-from',
          given['ssh-from'],
          'From where SSH may reach the bastion (ranges such as 203.0.113.0/24; your own address: curl https://checkip.amazonaws.com):',
          hasRanges,
        );
  const masters = await count(given.masters, 'Masters (3 keep the API up while one is away):', 3, 16);
  const etcd = await count(given.etcd, 'etcd members (1, 3 or 5):', 3, 9);
  const workers = await count(given.workers, 'Workers:', 3, 5000);
  const version =
    given.version ??
    (asker
      ? await asker.one(
          'Kubernetes:',
          kubernetesVersions.map((value) => ({ value })),
          newestKubernetes,
        )
      : newestKubernetes);
  return {
    name,
    provider,
    zones: splitList(zones),
    masters,
    etcd,
    workers,
    version,
    ...(project === undefined ? {} : { project }),
    ...(sshFrom === undefined ? {} : { sshFrom: rangesOf(sshFrom) }),
  };
}

async function providerOf(given: string | undefined, asker: Asker | undefined): Promise<ProviderName> {
  const choices = [
    { value: 'local', name: 'local: containers on this machine, by Docker' },
    { value: 'aws', name: 'aws: Amazon Web Services' },
    { value: 'gcp', name: 'gcp: Google Cloud' },
  ];
  const answer = given ?? (asker ? await asker.one('Provider:', choices, 'local') : 'local');
  const found = providerNames.find((name) => name === answer);
  if (found === undefined)
    throw new UserError(
      { what: `--provider ${answer.slice(0, 80)}: it must be one of ${providerNames.join(', ')}` },
      exitCodes.usage,
    );
  return found;
}

const splitList = (text: string): readonly string[] => text.split(/[\s,]+/).filter((zone) => zone !== '');
const hasZones = (text: string): true | string => {
  const zones = splitList(text);
  if (zones.length === 0) return 'at least one zone is needed';
  const bad = zones.find((zone) => !clusterSchema.shape.zones.element.safeParse(zone).success);
  return bad === undefined ? true : `${bad} must be ${expectation(clusterSchema.shape.zones.element)}`;
};
/** One address is a range too. */
const rangesOf = (text: string): readonly string[] =>
  splitList(text).map((range) => (range.includes('/') ? range : `${range}/32`));
const hasRanges = (text: string): true | string => {
  const { element } = clusterSchema.shape.bastion.unwrap().shape.allowedCidrs.unwrap();
  const ranges = rangesOf(text);
  if (ranges.length === 0) return 'at least one range or address is needed';
  const bad = ranges.find((range) => !element.safeParse(range).success);
  return bad === undefined ? true : `${bad} must be ${expectation(element)}`;
};
const isName = (text: string): true | string =>
  clusterSchema.shape.name.safeParse(text).success || `it must be ${expectation(clusterSchema.shape.name)}`;
const isCount = (text: string, most: number): true | string =>
  (/^\d{1,4}$/.test(text.trim()) && Number(text) >= 1 && Number(text) <= most) || `a whole number from 1 to ${most}`;
