import { createHash, scryptSync } from 'node:crypto';
import { exitCodes, UserError } from '../errors.ts';
import type { Finding } from './finding.ts';
import { readGateJobs } from './gate-jobs.ts';
import { explainIssues } from './issues.ts';
import { isSecret, type ManifestObject } from './manifest-object.ts';
import { type Manifest, readManifests } from './manifests.ts';
import { type Path, related } from './path.ts';
import { withProviderDefaults } from './provider-defaults.ts';
import { readText } from './read.ts';
import { noEffect } from './rules/no-effect.ts';
import type { RuleFinding } from './rules/rule.ts';
import { applyRules } from './rules.ts';
import { type Cluster, clusterSchema } from './schema.ts';
import { type Position, readSource, type Source } from './source.ts';

export interface LoadedCluster {
  readonly cluster: Cluster;
  /** The file as it lies there, whatever `edit` makes of it. */
  readonly text: string;
  /** Warnings, in the order of the file. */
  readonly findings: readonly Finding[];
  /** What addons.manifests hold; nothing, of a text at hand. */
  readonly manifests: readonly Manifest[];
  /** The Jobs of upgrade.gates, by the name of their gate; none, of a text at hand. */
  readonly gateJobs: ReadonlyMap<string, ManifestObject>;
  /** SHA-256 of the canonical JSON after defaults, and of the manifests: the same for files that mean the same. */
  readonly digest: string;
}

/** Everything that is wrong with a cluster.yaml, at once. */
export class ConfigError extends UserError {
  /** Errors and warnings, in the order of the file. */
  readonly findings: readonly Finding[];
  constructor(file: string, findings: readonly Finding[]) {
    const errors = findings.filter((finding) => finding.severity === 'error');
    const [only] = errors;
    super(
      errors.length === 1 && only
        ? only
        : {
            what: `${errors.length} errors`,
            where: file,
            why: errors
              .map(({ where, what, why, next }) => `${where}: ${what}${why ? ` (${why})` : ''}${next ? `; ${next}` : ''}`)
              .join('\n'),
            next: `Correct them, then: cluster validate -f ${file}`,
          },
      exitCodes.config,
    );
    this.name = 'ConfigError';
    this.findings = findings;
  }
}

/**
 * Reads and checks cluster.yaml and the manifests that it names; offline. With `edit`, as if the file had been edited so: for a dry run, which
 * changes no file. Throws ConfigError with all findings.
 */
export async function loadCluster(file: string, edit: (text: string) => string = (text) => text): Promise<LoadedCluster> {
  const text = await readText(file).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    throw new ConfigError(file, [{ severity: 'error', check: 'config.file', ...error.problem }]);
  });
  const { loaded, source } = parseCluster(edit(text), file);
  const { addons, upgrade } = loaded.cluster;
  const [ofAddons, ofGates] = await Promise.all([readManifests(file, addons.manifests), readGateJobs(file, upgrade.gates)]);
  const ofEntries = [...ofAddons.ofEntries, ...ofGates.ofEntries];
  const ofFiles = [...ofAddons.ofFiles, ...ofGates.ofFiles];
  if (ofEntries.length + ofFiles.length > 0)
    throw new ConfigError(file, capped([...inOrder(ofEntries, source, file), ...ofFiles.map(cleaned)]));
  const { manifests } = ofAddons;
  return { ...loaded, text, manifests, gateJobs: ofGates.jobs, digest: digestWith(loaded, manifests, ofGates.jobs) };
}

/** As loadCluster, for a text at hand; `file` is for messages. */
export function readCluster(text: string, file = 'cluster.yaml'): LoadedCluster {
  return parseCluster(text, file).loaded;
}

function parseCluster(text: string, file: string): { readonly loaded: LoadedCluster; readonly source: Source } {
  const { source, problems } = readSource(text);
  if (!source)
    throw new ConfigError(
      file,
      capped(
        problems.map(({ position, ...problem }) => ({
          severity: 'error',
          ...problem,
          what: clean(problem.what),
          where: placed(file, position),
        })),
      ),
    );
  if (source.value === null || source.value === undefined)
    throw new ConfigError(file, [
      {
        severity: 'error',
        check: 'config.empty',
        what: 'The file is empty',
        where: `${file}:1:1`,
        next: 'Make one with `cluster init`',
      },
    ]);
  const value = withProviderDefaults(source.value);
  const parsed = clusterSchema.safeParse(value);
  if (!parsed.success) {
    const found = explainIssues(parsed.error.issues, source);
    throw new ConfigError(file, capped(inOrder([...found, ...rulesOnTheRest(value, found)], source, file)));
  }
  const found = [...applyRules(parsed.data), ...noEffect((path) => source.has(path))];
  const findings = capped(inOrder(found, source, file));
  if (findings.some(({ severity }) => severity === 'error')) throw new ConfigError(file, findings);
  return {
    loaded: { cluster: parsed.data, text, findings, manifests: [], gateJobs: new Map(), digest: digestOf(parsed.data) },
    source,
  };
}

/**
 * What the rules say of the rest, when some values have the wrong shape: all mistakes are to be seen at once. Defaults and stand-ins take the place of
 * those values, and findings that could come from that are left out, as are warnings.
 */
function rulesOnTheRest(value: unknown, found: readonly RuleFinding[]): readonly RuleFinding[] {
  const rest: unknown = structuredClone(value);
  for (const [i, { path }] of found.entries()) replace(rest, path, i);
  const parsed = clusterSchema.safeParse(rest);
  if (!parsed.success) return [];
  const touched = found
    .filter(({ check }) => check !== 'config.unknown-key')
    .map(({ path }) => (path[0] === 'pools' ? path : path.slice(0, Math.max(1, path.length - 1))));
  return applyRules(parsed.data).filter(
    ({ severity, path }) => severity === 'error' && !touched.some((other) => related(other, path)),
  );
}

/** For what has no default. Zones and the provider have no stand-in: too much hangs on them. */
const standIns: Readonly<Record<string, string>> = {
  apiVersion: 'slipway/v1',
  kind: 'Cluster',
  name: 'stand-in',
  effect: 'NoSchedule',
  key: 'stand-in',
  cron: '@daily',
  duration: '1h',
};

function replace(value: unknown, path: Path, unique: number): void {
  // An entry of a list cannot go alone: those behind it would move.
  const cut = typeof path.at(-1) === 'number' ? path.slice(0, -1) : path;
  let parent = value;
  for (const part of cut.slice(0, -1)) {
    if (typeof parent !== 'object' || parent === null) return;
    parent = Reflect.get(parent, part);
  }
  const last = cut.at(-1);
  if (typeof parent !== 'object' || parent === null || last === undefined) return;
  const standIn = standIns[last];
  if (standIn === undefined) Reflect.deleteProperty(parent, last);
  else Reflect.set(parent, last, last === 'name' || last === 'key' ? `${standIn}-${unique}` : standIn);
}

const placed = (file: string, { line, column }: Position): string => `${file}:${line}:${column}`;

function inOrder(findings: readonly RuleFinding[], source: Source, file: string): readonly Finding[] {
  return findings
    .map(({ path, onKey, ...finding }) => ({ finding, position: source.positionOf(path, onKey ? 'key' : 'value') }))
    .sort((a, b) => a.position.line - b.position.line || a.position.column - b.position.column)
    .map(({ finding, position }) => ({ ...cleaned(finding), where: placed(file, position) }));
}
const cleaned = (finding: Finding): Finding => ({
  ...finding,
  what: clean(finding.what),
  ...(finding.why === undefined ? {} : { why: clean(finding.why) }),
  ...(finding.next === undefined ? {} : { next: clean(finding.next) }),
});
/** What stands in the file may hold escape sequences and marks that turn text around, and a private key in the wrong place: none of it goes on. */
const clean = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd').replace(/AGE-SECRET-KEY-\w*/gi, '(a secret, not shown)');

const most = 50;
/** A file that is no cluster.yaml at all has thousands of errors, and the first ones say so. */
function capped(findings: readonly Finding[]): readonly Finding[] {
  const rest = findings.length - most;
  if (rest <= 0) return findings;
  const [first] = findings;
  const more: Finding = {
    severity: 'error',
    check: 'config.more',
    what: 'and more: correct these first',
    ...(first?.where ? { where: first.where.replace(/:\d+:\d+$/, '') } : {}),
  };
  return [...findings.slice(0, most), more];
}

const digestOf = (value: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest('hex');
/**
 * Plans show this digest. Of Secrets it holds the outcome of a slow function, so that a weak value cannot be found out by trying from
 * a plan that everybody reads.
 */
function digestWith(
  { cluster, digest }: LoadedCluster,
  manifests: readonly Manifest[],
  jobs: ReadonlyMap<string, ManifestObject>,
): string {
  if (manifests.length + jobs.size === 0) return digest;
  const byKey = manifests.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const secrets = byKey.filter(({ object }) => isSecret(object)).map(({ object }) => object);
  const slow =
    secrets.length === 0 ? '' : scryptSync(JSON.stringify(sorted(secrets)), `slipway ${cluster.name}`, 32).toString('hex');
  const open = byKey.map(({ key, object }) => (isSecret(object) ? key : object));
  return digestOf({ cluster, manifests: open, secrets: slow, ...(jobs.size > 0 && { jobs: Object.fromEntries(jobs) }) });
}
/** With the keys of every mapping in order, so that equal data give equal text. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
