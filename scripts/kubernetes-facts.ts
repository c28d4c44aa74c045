import { execFileSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { kubernetesVersions } from '../src/config/versions.ts';

/**
 * What Kubernetes' minor versions know and no longer know, read from upstream's own sources: flags, feature gates, API versions. Writes the two
 * tables below. Needs the sources of every version of the catalogue in the Go module cache (`go mod download k8s.io/kubernetes@v1.35.4` and the
 * modules that it is made of), and the programs of the newest two in the asset cache (`cluster assets fetch`). Run it when the catalogue moves:
 * `node scripts/kubernetes-facts.ts && npx biome check --write src/config/kubernetes-options.data.ts src/rollout/preflight/removed-kinds.data.ts`
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const modules = execFileSync('go', ['env', 'GOMODCACHE'], { encoding: 'utf8' }).trim();
const cache = process.env.XDG_CACHE_HOME ?? `${homedir()}/.cache`;
const versions = kubernetesVersions.map((version) => ({ version, minor: Number(version.split('.')[1]) })).toReversed();
const [oldest, newest] = [versions[0], versions.at(-1)];
if (!oldest || !newest) throw new Error('no versions');
const staged = (name: string, version: string): string => `${modules}/k8s.io/${name}@v${version.replace(/^1\./, '0.')}`;
const source = (version: string): string => `${modules}/k8s.io/kubernetes@v${version}`;

// Flags: what registers one, in the directories that a program is made of. Its own --help is the whole truth, where the program is at hand.
const shared = (version: string): readonly string[] =>
  ['logs', 'metrics', 'config', 'version', 'zpages', 'cli', 'compatibility'].map(
    (at) => `${staged('component-base', version)}/${at}`,
  );
const serving = (version: string): readonly string[] => [`${staged('apiserver', version)}/pkg`, ...shared(version)];
const programs = {
  apiserver: {
    program: 'kube-apiserver',
    of: (v: string) =>
      ['cmd/kube-apiserver', 'pkg/kubeapiserver', 'pkg/controlplane', 'pkg/kubelet/client', 'plugin']
        .map((at) => `${source(v)}/${at}`)
        .concat(serving(v)),
  },
  controllerManager: {
    program: 'kube-controller-manager',
    of: (v: string) =>
      ['cmd/kube-controller-manager', 'pkg/controller']
        .map((at) => `${source(v)}/${at}`)
        .concat(staged('cloud-provider', v), staged('controller-manager', v), serving(v)),
  },
  scheduler: {
    program: 'kube-scheduler',
    of: (v: string) => ['cmd/kube-scheduler', 'pkg/scheduler'].map((at) => `${source(v)}/${at}`).concat(serving(v)),
  },
  kubelet: {
    program: 'kubelet',
    of: (v: string) =>
      ['cmd/kubelet', 'pkg/kubelet', 'pkg/credentialprovider'].map((at) => `${source(v)}/${at}`).concat(shared(v)),
  },
  kubeProxy: {
    program: 'kube-proxy',
    of: (v: string) => ['cmd/kube-proxy', 'pkg/proxy'].map((at) => `${source(v)}/${at}`).concat(shared(v)),
  },
} as const;

const registration =
  /\.(?:\w*Var|\w*VarP|String|Bool|Int\d*|Uint\d*|Float\d*|Duration|StringSlice)\(\s*(?:[^"()]*(?:\([^()]*\))?[^"()]*,)?\s*"([a-z][a-z0-9.-]+)"/g;
const adopted = /\bregister(?:Deprecated)?\(global, local, "([a-z0-9_]+)"/g;
const named = /\b\w+Flag\s*=\s*"([a-z][a-z0-9-]+)"/g;
function registered(directories: readonly string[]): ReadonlySet<string> {
  const found = directories.flatMap((directory) =>
    globSync(`${directory}/**/*.go`)
      .filter((file) => !file.endsWith('_test.go'))
      .flatMap((file) => {
        const text = readFileSync(file, 'utf8');
        return [registration, adopted, named].flatMap((pattern) =>
          [...text.matchAll(pattern)].map(([, name = '']) => name.replaceAll('_', '-')),
        );
      }),
  );
  return new Set(found);
}
function helped(program: string, version: string): ReadonlySet<string> {
  const help = execFileSync(`${cache}/slipway/assets/kubernetes/${version}/${program}`, ['--help'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return new Set([...help.matchAll(/^ +(?:-\w, )?--([a-z0-9-]+)/gm)].map(([, name = '']) => name));
}

const flags = Object.entries(programs).flatMap(([component, { program, of }]) => {
  const last = helped(program, newest.version);
  return versions.slice(1).flatMap(({ version, minor }, i) => {
    const before = versions[i]?.version ?? '';
    const [were, are] = [registered(of(before)), registered(of(version))];
    // In the sources of a library, and of no use to this program: --help knows.
    const wasFlag = minor === newest.minor ? helped(program, before) : were;
    const gone = [...were]
      .filter((flag) => !are.has(flag) && wasFlag.has(flag))
      .map((flag) => ({ component, flag, gone: minor }));
    const come = [...are].filter((flag) => !were.has(flag) && last.has(flag)).map((flag) => ({ component, flag, since: minor }));
    return [...gone, ...come];
  });
});

// Feature gates: upstream's own list of all versioned gates, and those of client-go, which every program knows too.
const listed = z.array(
  z.object({
    name: z.string(),
    versionedSpecs: z.array(z.object({ default: z.boolean(), lockToDefault: z.boolean(), version: z.string() })),
  }),
);
interface Gate {
  readonly since?: number;
  readonly gone?: number;
  readonly locked?: number;
  readonly to?: boolean;
}
const gatesOf = (version: string, minor: number): ReadonlyMap<string, boolean | undefined> => {
  const file = `${source(version)}/test/compatibility_lifecycle/reference/versioned_feature_list.yaml`;
  // Up to 1.35 that list has the names of Go's constants, which for two gates are not those of the gates.
  const constants = readFileSync(`${source(version)}/pkg/features/kube_features.go`, 'utf8');
  const names = new Map(
    [...constants.matchAll(/^\s+(\w+)\s+featuregate\.Feature = "(\w+)"/gm)].map(([, constant = '', name = '']) => [
      constant,
      name,
    ]),
  );
  const own = listed.parse(parse(readFileSync(file, 'utf8'))).map(({ name, versionedSpecs }) => {
    const spec = versionedSpecs.filter((each) => Number(each.version.split('.')[1]) <= minor).at(-1);
    return [names.get(name) ?? name, spec?.lockToDefault ? spec.default : undefined] as const;
  });
  const client = readFileSync(`${staged('client-go', version)}/features/known_features.go`, 'utf8');
  const clients = [...client.matchAll(/^\s+(\w+)\s+Feature = "\1"/gm)].map(([, name = '']) => [name, undefined] as const);
  return new Map([...clients, ...own]);
};
const gateLists = versions.map(({ version, minor }) => ({ minor, gates: gatesOf(version, minor) }));
const gateNames = [...new Set(gateLists.flatMap(({ gates }) => [...gates.keys()]))].toSorted();
const gates = Object.fromEntries(
  gateNames.map((name): [string, Gate] => {
    const knows = gateLists.filter(({ gates: known }) => known.has(name));
    const since = knows[0]?.minor;
    const gone = (knows.at(-1)?.minor ?? 0) + 1;
    const locked = knows.find(({ gates: known }) => known.get(name) !== undefined);
    const to = locked?.gates.get(name);
    return [
      name,
      {
        ...(since !== undefined && since > oldest.minor && { since }),
        ...(gone <= newest.minor && { gone }),
        ...(locked && to !== undefined && { locked: locked.minor, to }),
      },
    ];
  }),
);

// API versions that an API server has at all: --runtime-config may name no other of a group that it has.
const installed = /"k8s\.io\/kubernetes\/pkg\/apis\/(\w+)\/(v\w+)"/g;
function groupVersionsOf(version: string): ReadonlySet<string> {
  const apis = `${source(version)}/pkg/apis`;
  const found = globSync(`${apis}/*/install/install.go`).flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(installed)].map(([, directory = '', name = '']) => {
      const [, group = ''] = /GroupName = "([^"]*)"/.exec(readFileSync(`${apis}/${directory}/register.go`, 'utf8')) ?? [];
      return group === '' ? name : `${group}/${name}`;
    }),
  );
  return new Set(found);
}
const groupVersionLists = versions.map(({ version, minor }) => ({ minor, all: groupVersionsOf(version) }));
const groupVersions = groupVersionLists.slice(1).flatMap(({ minor, all }, i) => {
  const before = groupVersionLists[i]?.all ?? new Set<string>();
  return [
    ...[...before].filter((name) => !all.has(name)).map((name) => ({ groupVersion: name, gone: minor })),
    ...[...all].filter((name) => !before.has(name)).map((name) => ({ groupVersion: name, since: minor })),
  ];
});

const write = (file: string, doc: string, text: string): void =>
  writeFileSync(
    `${root}${file}`,
    `// Written by scripts/kubernetes-facts.ts from upstream's sources: not by hand.\n\n${doc}\n${text}\n`,
  );
write(
  'src/config/kubernetes-options.data.ts',
  `/** Minor versions of Kubernetes from which on a flag is known (since) or no longer known (gone); from 1.${oldest.minor} to 1.${newest.minor}. */`,
  `export const flagChanges: readonly { readonly component: string; readonly flag: string; readonly since?: number; readonly gone?: number }[] = ${JSON.stringify(flags)};

/** Versions of API groups: likewise. The groups themselves are in all of these versions. */
export const groupVersionChanges: readonly { readonly groupVersion: string; readonly since?: number; readonly gone?: number }[] = ${JSON.stringify(groupVersions)};

/** Every feature gate that one of these versions knows: likewise, and from which on it can no longer be set to anything but \`to\`. */
export const gates: Readonly<
  Record<string, { readonly since?: number; readonly gone?: number; readonly locked?: number; readonly to?: boolean }>
> = ${JSON.stringify(gates)};
/** The minor versions that this knows of. */
export const knownMinors = { from: ${oldest.minor}, to: ${newest.minor} } as const;`,
);

// API versions: each type's own lifecycle (removed in), and types that a later version of the module no longer has.
const groupPattern = /GroupName = "([^"]*)"/;
const removedPattern = /^func \(in \*(\w+)\) APILifecycleRemoved\(\) \(major, minor int\) \{\s*return 1, (\d+)/gm;
const registeredPattern = /^\s+&(\w+)\{\},/gm;
function kindsOf(version: string): ReadonlyMap<string, number> {
  const api = staged('api', version);
  return new Map(
    globSync(`${api}/*/v*/register.go`).flatMap((file) => {
      const directory = file.replace(/\/register\.go$/, '');
      const text = readFileSync(file, 'utf8');
      const group = groupPattern.exec(text)?.[1] ?? '';
      const apiVersion = [group, directory.split('/').at(-1)].filter(Boolean).join('/');
      const [lifecycle] = globSync(`${directory}/zz_generated.prerelease-lifecycle.go`);
      const removed = new Map(
        lifecycle
          ? [...readFileSync(lifecycle, 'utf8').matchAll(removedPattern)].map(([, kind = '', minor]) => [kind, Number(minor)])
          : [],
      );
      return [...text.matchAll(registeredPattern)]
        .map(([, kind = '']) => kind)
        .filter((kind) => !kind.endsWith('List') && !kind.endsWith('Options'))
        .map((kind): [string, number] => [`${apiVersion} ${kind}`, removed.get(kind) ?? Number.POSITIVE_INFINITY]);
    }),
  );
}
// One beyond the newest of the catalogue, where its module is at hand: what will go next is worth a warning.
const next = globSync(`${modules}/k8s.io/api@v0.${newest.minor + 1}.*`)
  .map((path) => path.replace(/.*@v0\./, '1.'))
  .toSorted()
  .at(-1);
const kindLists = [...versions, ...(next === undefined ? [] : [{ version: next, minor: newest.minor + 1 }])].map(
  ({ version, minor }) => ({ minor, kinds: kindsOf(version) }),
);
const removedKinds = new Map<string, number>();
for (const [i, { minor, kinds }] of kindLists.entries()) {
  const before = kindLists[i - 1]?.kinds ?? new Map<string, number>();
  for (const [kind, removedIn] of kinds) if (Number.isFinite(removedIn)) removedKinds.set(kind, removedIn);
  for (const kind of before.keys())
    if (!kinds.has(kind)) removedKinds.set(kind, Math.min(minor, removedKinds.get(kind) ?? minor));
}
for (const [kind, removedIn] of removedKinds)
  if (removedIn <= oldest.minor || kind === 'v1 PodStatusResult') removedKinds.delete(kind);
write(
  'src/rollout/preflight/removed-kinds.data.ts',
  `/** \`apiVersion Kind\` → the minor version of Kubernetes that no longer serves it; those that go after 1.${oldest.minor}. */`,
  `export const removedKinds: Readonly<Record<string, number>> = ${JSON.stringify(Object.fromEntries([...removedKinds].toSorted()))};`,
);
