import type { HostFacts, UnitFacts } from './host.ts';
import { unitDirectory } from './manifest.ts';

/** Reads the output of templates/host/observe. Strict: a line that it does not know, or a missing end, is an error. */
export function parseObserve(text: string): HostFacts {
  const sections = split(text);
  const said = parseHead(sections.head);
  const sums = new Map(sections.sums.filter(Boolean).map(parseSum));
  const stats = new Map(sections.stat.filter(Boolean).map(parseStat));
  const shows = parseUnits(sections.units);
  const texts = parseTexts(sections.text);
  const clock = stats.get('/run/slipway/clock');
  if (clock === undefined) throw new Error('observe told no time');
  stats.delete('/run/slipway/clock');

  const certificates = [...said.certificates].map(([name, { path, fits }]) => {
    const pem = certificateOf(texts.get(path));
    return [name, pem === undefined ? undefined : { pem, keyFits: fits }] as const;
  });
  const files = said.files.map((path) => {
    const [sum, stat] = [sums.get(path), stats.get(path)];
    // Another owner than root is another mode: converge mends both together.
    const mode = stat && (stat.owner === 'root' ? stat.mode : `${stat.mode} ${stat.owner}`);
    return [path, sum !== undefined && mode !== undefined ? { sha256: sum, mode } : undefined] as const;
  });
  const units = [...said.units].map(([name, unit]) => {
    const show = shows.get(name) ?? { active: 'inactive', enabled: false, pending: false };
    const waitsFor = unit.unmet[0];
    const facts: UnitFacts = {
      // A queued start or restart (it waits for its predecessors) is one on its way.
      active: show.pending && ['inactive', 'deactivating', 'failed'].includes(show.active) ? 'activating' : show.active,
      enabled: show.enabled,
      stale:
        show.active === 'active' && !show.pending && isStale(name, unit.inputs, texts.get(`/run/slipway/inputs/${name}`), sums),
      sha256: sums.get(`${unitDirectory}/${name}`) ?? '',
      asApplied: sums.get(`${unitDirectory}/${name}`) === unit.digest,
      inputs: unit.inputs,
      serving: unit.serving,
      waitsFor: show.active === 'active' ? undefined : waitsFor,
    };
    return [name, facts] as const;
  });
  return {
    bootId: said.boot,
    clockMs: clock.mtimeMs,
    generation: said.generation,
    bundle: said.bundle,
    ...(said.packages && { packages: said.packages }),
    ...(said.reboot !== undefined && { reboot: said.reboot }),
    identity: said.identity,
    files: new Map(files),
    units: new Map(units),
    assets: new Set(said.assets),
    certificates: new Map(certificates),
    probes: parseProbes(sections.probes),
  };
}

/**
 * Hard part 8: what the unit recorded at start against what lies there. An input that the record does not know was added to the
 * manifest later, which changed nothing of what runs; a unit file that differs always counts.
 */
function isStale(
  name: string,
  inputs: readonly string[],
  record: readonly string[] | undefined,
  sums: ReadonlyMap<string, string>,
): boolean {
  const paths = [`${unitDirectory}/${name}`, ...inputs];
  if (!record) return name.endsWith('.service');
  const missing = new Set(record.map((line) => /^sha256sum: (\/.+): No such file or directory$/.exec(line)?.[1]));
  const read = new Map(record.filter((line) => !line.startsWith('sha256sum: ')).map(parseSum));
  return paths.some((path) => {
    const before = read.get(path);
    if (before === undefined) return missing.has(path) && sums.has(path);
    return before !== sums.get(path);
  });
}

type Section = 'head' | 'sums' | 'stat' | 'units' | 'text' | 'probes';
function split(text: string): Record<Section, string[]> {
  const sections: Record<Section, string[]> = { head: [], sums: [], stat: [], units: [], text: [], probes: [] };
  let current: Section = 'head';
  for (const line of text.split('\n')) {
    if (!line.startsWith('--- ')) {
      sections[current].push(line);
      continue;
    }
    const name = line.slice(4);
    if (name === 'end') return sections;
    if (name !== 'sums' && name !== 'stat' && name !== 'units' && name !== 'text' && name !== 'probes') {
      throw new Error(`observe said ${JSON.stringify(line)}`);
    }
    current = name;
  }
  throw new Error('the output of observe was cut');
}

interface Head {
  boot: string;
  generation: number;
  bundle: string | undefined;
  packages: HostFacts['packages'];
  reboot: string | undefined;
  readonly identity: Record<string, string>;
  readonly files: string[];
  readonly units: Map<string, { serving: boolean; digest: string; inputs: string[]; unmet: string[] }>;
  readonly assets: string[];
  readonly certificates: Map<string, { path: string; fits: boolean }>;
}
function parseHead(lines: readonly string[]): Head {
  const head: Head = {
    boot: '',
    generation: 0,
    bundle: undefined,
    packages: undefined,
    reboot: undefined,
    identity: {},
    files: [],
    units: new Map(),
    assets: [],
    certificates: new Map(),
  };
  const unit = (name: string) => {
    const found = head.units.get(name);
    if (!found) throw new Error(`observe named the unit ${name} before it listed it`);
    return found;
  };
  for (const line of lines) {
    if (line === '') continue;
    const [word = '', a = '', b = '', c = ''] = line.split(' ').map(kept);
    if (word === 'boot') head.boot = a;
    else if (word === 'generation') head.generation = Number(a);
    else if (word === 'bundle') head.bundle = a;
    else if (word === 'packages') head.packages = { since: a, asked: b };
    else if (word === 'reboot') head.reboot = kept(line.slice('reboot '.length));
    else if (word === 'env') parseEnv(line.slice(4), head.identity);
    else if (word === 'file') head.files.push(a);
    else if (word === 'unit') head.units.set(a, { serving: b === 'serving', digest: c, inputs: [], unmet: [] });
    else if (word === 'input') unit(a).inputs.push(b);
    else if (word === 'condition') {
      if (b === 'unmet') unit(a).unmet.push(c);
    } else if (word === 'asset') head.assets.push(a);
    else if (word === 'certificate') head.certificates.set(a, { path: b, fits: c === 'fits' });
    else throw new Error(`observe said ${JSON.stringify(line)}`);
  }
  if (head.boot === '' || !Number.isSafeInteger(head.generation)) throw new Error('observe told no boot or generation');
  return head;
}

/** A line of host.env as it is rendered; one that a person wrote otherwise is kept as it stands, and so differs. */
function parseEnv(line: string, identity: Record<string, string>): void {
  const [, key, quoted] = /^([A-Za-z_][A-Za-z0-9_]*)="(.*)"$/.exec(line) ?? [];
  if (key !== undefined && quoted !== undefined) identity[kept(key)] = kept(quoted.replaceAll(/\\(["\\$`])/g, '$1'));
  else if (line !== '') identity[kept(line)] = '';
}

function parseSum(line: string): [string, string] {
  const [, sum, path] = /^([0-9a-f]{64}) {2}(\/.*)$/.exec(line) ?? [];
  if (sum === undefined || path === undefined) throw new Error(`no checksum: ${JSON.stringify(line)}`);
  return [kept(path), kept(sum)];
}

interface Stat {
  readonly mode: string;
  readonly owner: string;
  readonly mtimeMs: number;
}
function parseStat(line: string): [string, Stat] {
  const [, mode, owner, mtime, path] = /^([0-7]+) (\S+) ([0-9.]+) (\/.*)$/.exec(line) ?? [];
  if (mode === undefined || owner === undefined || mtime === undefined || path === undefined) {
    throw new Error(`no stat: ${JSON.stringify(line)}`);
  }
  return [kept(path), { mode: mode.padStart(4, '0'), owner: kept(owner), mtimeMs: Math.round(Number(mtime) * 1000) }];
}

function parseUnits(lines: readonly string[]): ReadonlyMap<string, { active: string; enabled: boolean; pending: boolean }> {
  const blocks = lines.join('\n').split('\n\n');
  return new Map(
    blocks
      .filter((block) => block.trim() !== '')
      .map((block) => {
        const props = new Map(
          block
            .trim()
            .split('\n')
            .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
        );
        const name = props.get('Id');
        const active = props.get('ActiveState');
        if (name === undefined || active === undefined) throw new Error(`no unit: ${JSON.stringify(block)}`);
        const job = props.get('Job') ?? '';
        return [
          kept(name),
          {
            active: kept(active),
            enabled: !['disabled', 'masked', ''].includes(props.get('UnitFileState') ?? ''),
            pending: job !== '' && job !== '0',
          },
        ];
      }),
  );
}

/** Files as sed printed them: the path on a line of its own, then their lines behind a space. */
function parseTexts(lines: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, string[]>();
  let current: string[] | undefined;
  for (const line of lines) {
    if (line.startsWith('/')) {
      current = [];
      texts.set(line, current);
    } else current?.push(line.slice(1));
  }
  return texts;
}

/** The first certificate: kubelet's rotation file may have a chain after it. */
function certificateOf(lines: readonly string[] | undefined): string | undefined {
  const end = lines?.indexOf('-----END CERTIFICATE-----') ?? -1;
  if (!lines || end < 0) return undefined;
  return `${lines.slice(lines.indexOf('-----BEGIN CERTIFICATE-----'), end + 1).join('\n')}\n`;
}

function parseProbes(lines: readonly string[]): HostFacts['probes'] {
  const probes = new Map<string, { code: number; stdout: string }>();
  for (const [path, output] of parseTexts(lines)) {
    const said = [...output];
    while (said.at(-1) === '') said.pop();
    probes.set(kept(path.slice(path.indexOf('.', '/run/slipway/probe.'.length) + 1)), {
      code: Number(said.at(-1)),
      stdout: kept(said.slice(0, -1).join('\n')),
    });
  }
  return probes;
}

/**
 * A word as a value of its own: what is cut out of a text keeps all of it in memory. And one of each: hosts of a kind say the same, but for a few words.
 */
function kept(word: string): string {
  const known = words.get(word);
  if (known !== undefined) return known;
  if (words.size >= mostWords) words.clear();
  const own = Buffer.from(word).toString();
  words.set(own, own);
  return own;
}
const words = new Map<string, string>();
/** Far more than thousands of hosts say at a time. */
const mostWords = 200_000;
