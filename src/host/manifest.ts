import type { Bundle, BundleFile, BundleUnit } from '../components/bundle.ts';
import { sha256 } from '../plan/canonical.ts';
import { quote } from './quote.ts';

/** Written from the machine's identity; its keys are the `identity` of `host.bundle`, and it is no file of the bundle. */
export const hostEnvPath = '/etc/slipway/host.env';
export const unitDirectory = '/etc/systemd/system';

/** KEY="value" as systemd's EnvironmentFile= reads it. */
export const renderHostEnv = (identity: Readonly<Record<string, string>>): string =>
  Object.entries(identity)
    .map(([key, value]) => `${key}="${value.replaceAll(/["\\$`]/g, '\\$&')}"\n`)
    .join('');

/**
 * Hard part 8: each unit records, at start, the digest of what it reads only then, as lines of sha256sum. One process (sh becomes
 * sha256sum), outside of the unit's sandbox (`+`); a file that is missing is no reason not to start (`-`).
 */
export function recordDropIn(unit: BundleUnit): BundleFile | undefined {
  if (!unit.name.endsWith('.service')) return undefined;
  const inputs = [`${unitDirectory}/${unit.name}`, ...unit.inputs].join(' ');
  const text = `# Written by slipway: what this unit reads at its start, so that a restart that is due can be seen.
[Service]
ExecStartPre=-+/bin/sh -c '[ -d /run/slipway/inputs ] || mkdir -p /run/slipway/inputs; exec sha256sum ${inputs} >/run/slipway/inputs/${unit.name} 2>&1'
`;
  return { path: `${unitDirectory}/${unit.name}.d/10-slipway.conf`, mode: '0644', content: { text } };
}

const filesMemo = new WeakMap<Bundle, readonly BundleFile[]>();
/** The bundle's files and the drop-ins of its units. */
export function filesOf(bundle: Bundle): readonly BundleFile[] {
  let files = filesMemo.get(bundle);
  if (!files) {
    files = [...bundle.files, ...bundle.units.map(recordDropIn).filter((file) => file !== undefined)];
    filesMemo.set(bundle, files);
  }
  return files;
}

const conditionsOf = (unit: BundleUnit): readonly string[] =>
  [...unit.text.matchAll(/^ConditionPathExists=(\/\S+)\s*$/gm)].map((match) => match[1] ?? '');

export interface ManifestInput {
  readonly bundle: Bundle;
  /** Undefined: of a pool, whose machines add the line of their own host.env. */
  readonly identity: Readonly<Record<string, string>> | undefined;
  /** Sha256 of the content of each file of `filesOf(bundle)`, by path. */
  readonly digests: ReadonlyMap<string, string>;
}

/** The manifest in the format that templates/host/common describes. Deterministic. Throws for names that it cannot carry. */
export function renderManifest({ bundle, identity, digests }: ManifestInput): string {
  const line = (...words: readonly string[]): string => words.map(quote).join(' ');
  const digestOf = (path: string): string => {
    const digest = digests.get(path);
    if (digest === undefined) throw new Error(`no digest of ${path}`);
    return digest;
  };
  const lines = [
    line('bundle', plain(bundle.name)),
    ...filesOf(bundle).map((file) => line('file', file.mode, digestOf(file.path), plain(file.path))),
    ...(identity ? [line('file', '0644', sha256(renderHostEnv(identity)), hostEnvPath)] : []),
    ...bundle.certificates.map((spec) => line('certificate', plain(spec.name), ...pathsOf(spec.files).map(plain))),
    ...bundle.units.flatMap((unit) => [
      line('unit', plain(unit.name), sha256(unit.text), unit.serving ? 'serving' : 'plain'),
      ...unit.inputs.map((path) => line('input', unit.name, plain(path))),
      ...conditionsOf(unit).map((path) => line('condition', unit.name, plain(path))),
      ...unit.certificates.map((certificate) => line('needs', unit.name, plain(certificate))),
    ]),
    ...bundle.assets.map((asset) => line('asset', plain(asset.path))),
    ...bundle.probes.map((probe) => line('probe', plain(probe.name), probe.command)),
  ];
  return `${lines.join('\n')}\n`;
}

/** Certificate and key; the same path twice where both are one file. */
export const pathsOf = (files: Bundle['certificates'][number]['files']): readonly [string, string] =>
  'combined' in files ? [files.combined, files.combined] : [files.cert, files.key];

/** Paths and names go through lists of words in sh. */
function plain(word: string): string {
  if (!/^[\w@+=:,./-]+$/.test(word)) throw new Error(`a manifest cannot carry the name ${JSON.stringify(word)}`);
  return word;
}

/** A trust file: each certificate ends in a newline. */
export const joinPem = (certificates: readonly string[]): string => certificates.map((pem) => `${pem.trimEnd()}\n`).join('');
