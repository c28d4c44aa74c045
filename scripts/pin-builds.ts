// Writes go.mod and go.sum of every build under templates/build: `node scripts/pin-builds.ts [NAME...]`. Run it when a version in src/assets/catalogue.ts or src/config/versions.ts changes.
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forProvider, knownKubernetes, versionsFor } from '../src/assets/catalogue.ts';
import { layOut, pinsOf } from '../src/assets/go-build.ts';
import { runProgram } from '../src/assets/process.ts';
import { type GoBuild, recipesOf } from '../src/assets/recipes.ts';
import { goEnvironment } from '../src/assets/toolchain.ts';
import { componentVersions } from '../src/config/versions.ts';

/** Modules whose main packages are asked for, or that a main package of our own imports. */
const modules: Readonly<Record<string, readonly string[]>> = {
  kubernetes: ['k8s.io/kubernetes'],
  etcd: ['go.etcd.io/etcd/server/v3', 'go.etcd.io/etcd/etcdctl/v3', 'go.etcd.io/etcd/etcdutl/v3'],
  containerd: ['github.com/containerd/containerd/v2'],
  runc: ['github.com/opencontainers/runc'],
  cni: ['github.com/containernetworking/plugins'],
  flannel: ['github.com/flannel-io/flannel'],
  coredns: ['github.com/coredns/coredns'],
  'metrics-server': ['sigs.k8s.io/metrics-server'],
  pause: [],
  'aws-cloud-controller': ['k8s.io/cloud-provider-aws'],
};

const env = await goEnvironment(process.env);

async function go(args: readonly string[], cwd: string, more: Record<string, string> = {}): Promise<string> {
  const ran = await runProgram('go', args, { cwd, env: { ...env, ...more } });
  if (ran.code !== 0) throw new Error(`go ${args.join(' ')}\n${ran.stderr.join('\n')}`);
  return ran.stdout;
}

const download = async (module: string): Promise<{ Dir: string; GoMod: string }> =>
  JSON.parse(await go(['mod', 'download', '-json', module], '/'));

async function moduleFile(build: GoBuild): Promise<string> {
  const required = modules[build.name];
  if (!required) throw new Error(`No modules are known for ${build.name}`);
  const lines = [`module slipway.build/${build.name}`, ''];
  const first = required[0];
  if (!first) return `${[...lines, 'go 1.24'].join('\n')}\n`;
  const upstream = await readFile((await download(`${first}@v${build.version}`)).GoMod, 'utf8');
  for (const directive of upstream.matchAll(/^(go|godebug) .*$/gm)) lines.push(directive[0]);
  lines.push('', ...required.map((module) => `require ${module} v${build.version}`));
  if (build.name === 'kubernetes') {
    // In its own repository Kubernetes replaces the staging modules with directories; they are published as v0.MINOR.PATCH.
    const staging = build.version.replace(/^1\./, 'v0.');
    for (const [, name] of upstream.matchAll(/^\s*(\S+) => \.\/staging/gm)) lines.push(`replace ${name} => ${name} ${staging}`);
  }
  return `${lines.join('\n')}\n`;
}

async function pin(build: GoBuild): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'slipway-pin-'));
  try {
    await layOut({ ...build, version: 'none' }, work, env).catch(() => undefined);
    await writeFile(join(work, 'go.mod'), await moduleFile(build));
    await rm(join(work, 'go.sum'), { force: true });
    if (build.borrowedMain) {
      await go(['mod', 'download', `${build.borrowedMain.module}@v${build.version}`], work);
      await go(['get', `${build.borrowedMain.module}@v${build.version}`], work).catch(() => '');
      await layOut({ ...build, version: 'none' }, work, env);
    }
    const tags = build.cgo ? ['-tags', build.cgo.tags] : [];
    await go(
      ['list', '-mod=mod', ...tags, '-deps', ...Object.values(build.programs)],
      work,
      build.cgo ? { CGO_ENABLED: '1' } : {},
    );
    await mkdir(pinsOf(build), { recursive: true });
    for (const file of ['go.mod', 'go.sum']) {
      await copyFile(join(work, file), join(pinsOf(build), file)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
    console.log(`${build.name} ${build.version}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const wanted = process.argv.slice(2);
const builds = new Map<string, GoBuild>();
const [newest = ''] = knownKubernetes;
const sets = [
  ...knownKubernetes.map((kubernetes) => versionsFor(kubernetes)),
  ...Object.entries(componentVersions).flatMap(([component, all]) =>
    all.map((version) => versionsFor(newest, { [component]: version })),
  ),
];
for (const versions of sets) {
  for (const { build } of recipesOf(forProvider(versions, { aws: {} })))
    if (build) builds.set(`${build.name}/${build.version}`, build);
}
for (const [key, build] of builds) {
  if (wanted.length === 0 || wanted.some((prefix) => key.startsWith(prefix))) await pin(build);
}
