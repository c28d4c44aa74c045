import { statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import type Docker from 'dockerode';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Finding } from '../../src/config/finding.ts';
import { messageOf, UserError } from '../../src/errors.ts';
import { askVersion, call } from './docker.ts';
import { hasSysResource, readText } from './host.ts';
import { filterOf, label } from './labels.ts';
import { networkName, overlapping } from './network.ts';
import { isFree } from './ports.ts';
import { overlaps, toAddress } from './range.ts';

interface Place {
  readonly docker: Docker;
  readonly cluster: string;
  readonly owner: string;
  readonly assets: string;
}

/** Everything on this host that would make `up` fail, or fail later; what is well, too. Without Docker the rest of its questions are left out. */
export async function* verify(topology: Topology, place: Place, signal: AbortSignal): AsyncGenerator<Finding> {
  yield* kernel();
  yield* inotify();
  yield* memory(topology);
  yield* disk('assets', place.assets, 2);
  const info = await askDocker(place.docker, signal);
  if ('finding' in info) {
    yield info.finding;
    return;
  }
  yield ok('docker.daemon', `Docker ${info.version} answers, cgroup v${info.cgroup}`);
  yield* capabilities();
  yield* disk('docker', info.root, 10);
  const existing = await leftovers(place, signal);
  yield existing.finding;
  yield* ports(topology, existing.running);
  yield* range(topology, place);
}

const ok = (check: string, what: string): Finding => ({ severity: 'ok', check, what });

async function askDocker(
  docker: Docker,
  signal: AbortSignal,
): Promise<{ finding: Finding } | { version: string; cgroup: string; root: string }> {
  try {
    await askVersion(docker, signal);
    const info: { ServerVersion?: string; CgroupVersion?: string; DockerRootDir?: string } = await call(() => docker.info(), {
      signal,
      patienceMs: 0,
    });
    return {
      version: info.ServerVersion ?? '?',
      cgroup: info.CgroupVersion ?? '1',
      root: info.DockerRootDir ?? '/var/lib/docker',
    };
  } catch (error) {
    signal.throwIfAborted();
    const check = 'docker.daemon';
    if (!(error instanceof UserError)) return { finding: { severity: 'error', check, what: messageOf(error) } };
    const { what, why, next } = error.problem;
    return { finding: { severity: 'error', check, what, ...(why && { why }), ...(next && { next }) } };
  }
}

/** What kubelet, containerd, flannel and kube-proxy take from the host's kernel. `sign` is there whenever the feature is, module or built in. */
const features = [
  { module: 'overlay', needs: "containerd's snapshots", sign: /\boverlay$/m, in: '/proc/filesystems' },
  {
    module: 'br_netfilter',
    needs: 'Services between pods of one machine',
    sign: /./,
    in: '/proc/sys/net/bridge/bridge-nf-call-iptables',
  },
  { module: 'nf_tables', needs: 'kube-proxy', sign: / nft_|nf_tables/m, in: '/proc/kallsyms' },
  { module: 'vxlan', needs: 'flannel', sign: / vxlan_/m, in: '/proc/kallsyms' },
  { module: 'veth', needs: 'pods', sign: / veth_/m, in: '/proc/kallsyms' },
] as const;

async function* kernel(): AsyncGenerator<Finding> {
  const [modules = '', release = ''] = await Promise.all([readText('/proc/modules'), readText('/proc/sys/kernel/osrelease')]);
  const listed = (await readText(`/lib/modules/${release}/modules.dep`)) ?? '';
  const builtin = (await readText(`/lib/modules/${release}/modules.builtin`)) ?? '';
  const missing: string[] = [];
  for (const { module, needs, sign, in: path } of features) {
    const file = new RegExp(`/${module.replaceAll('_', '[_-]')}\\.ko`);
    const loaded = new RegExp(`^${module} `, 'm').test(modules);
    if (!loaded && !file.test(builtin) && !file.test(listed) && !sign.test((await readText(path)) ?? ''))
      missing.push(`${module} (${needs})`);
  }
  if (missing.length === 0) yield ok('host.kernel', `kernel ${release} has what machines need`);
  else
    yield {
      severity: 'warning',
      check: 'host.kernel',
      what: `the kernel does not show these features: ${missing.join(', ')}`,
      next: `load them: sudo modprobe -a ${missing.map((text) => text.split(' ')[0]).join(' ')}`,
    };
}

const inotifyNeeds = { max_user_instances: 8192, max_user_watches: 524_288 } as const;

/** Ten systemds on one host: with 128 instances the eighth hangs at boot. */
async function* inotify(): AsyncGenerator<Finding> {
  const low: string[] = [];
  for (const [name, wanted] of Object.entries(inotifyNeeds)) {
    const text = await readText(`/proc/sys/fs/inotify/${name}`);
    if (text !== undefined && Number(text) < wanted) low.push(`fs.inotify.${name}=${wanted}`);
  }
  if (low.length === 0) yield ok('host.inotify', 'inotify limits suffice');
  else
    yield {
      severity: 'error',
      check: 'host.inotify',
      what: "the host's inotify limits are too low for that many machines",
      why: 'machines share them, and a systemd that gets none hangs at boot',
      next: `sudo sysctl -w ${low.join(' ')} (and put it in /etc/sysctl.d/ to keep it)`,
    };
}

/** What an idle machine was measured to use, in MiB. */
const megabytes = { bastion: 30, etcd: 150, master: 900, worker: 350 } as const;

async function* memory({ machines }: Topology): AsyncGenerator<Finding> {
  const needed = machines.reduce((sum, { role }) => sum + megabytes[role], 0);
  const text = await readText('/proc/meminfo');
  const [, kilobytes] = /^MemAvailable:\s+(\d+)/m.exec(text ?? '') ?? [];
  const available = Math.floor(kilobytes ? Number(kilobytes) / 1024 : totalmem() / 2 ** 20);
  if (available >= needed) yield ok('host.memory', `${available} MiB of memory are free, about ${needed} are needed`);
  else
    yield {
      severity: 'warning',
      check: 'host.memory',
      what: `${available} MiB of memory are free, and ${machines.length} machines use about ${needed}`,
      next: 'use fewer masters or workers, or stop other programs',
    };
}

async function* disk(of: string, path: string, gigabytes: number): AsyncGenerator<Finding> {
  const found = await statfs(path).catch(() => undefined);
  // Docker's directory is readable for root only, and the cache may not be there yet.
  const { bavail, bsize } = found ?? (await statfs('/'));
  const free = Math.floor((bavail * bsize) / 1e9);
  const check = `host.disk-${of}`;
  if (free >= gigabytes) yield ok(check, `${free} GB are free at ${path}`);
  else
    yield {
      severity: free < 1 ? 'error' : 'warning',
      check,
      where: path,
      what: `${free} GB are free, ${gigabytes} are needed`,
      next: 'free space: docker system df shows what Docker uses',
    };
}

async function* capabilities(): AsyncGenerator<Finding> {
  if (hasSysResource((await readText('/proc/1/status')) ?? '')) yield ok('host.capabilities', 'all capabilities can be given');
  else
    yield ok(
      'host.capabilities',
      'this host cannot give CAP_SYS_RESOURCE: machines go without it, and limits cannot be raised in them',
    );
}

async function leftovers(
  { docker, cluster, owner }: Place,
  signal: AbortSignal,
): Promise<{ finding: Finding; running: boolean }> {
  const check = 'docker.cluster';
  const found = await call(() => docker.listContainers({ all: true, filters: filterOf(cluster) }), { signal });
  const other = found.map(({ Labels }) => Labels[label.owner]).find((of) => of !== undefined && of !== owner);
  if (other !== undefined) {
    const what = `another cluster ${cluster} runs on this Docker, with its records in ${other}`;
    return { finding: { severity: 'error', check, what, next: 'give this cluster another name' }, running: true };
  }
  const names = await call(() => docker.listContainers({ all: true, filters: { name: [`^/${cluster}-`] } }), { signal });
  const foreign = names.filter(({ Labels }) => Labels[label.cluster] === undefined).map(({ Names }) => Names[0]?.slice(1) ?? '');
  if (foreign.length > 0) {
    const what = `containers that are not Slipway's have names that look like this cluster's: ${foreign.join(', ')}`;
    return {
      finding: { severity: 'warning', check, what, next: 'rename the cluster, should one of its machines need that name' },
      running: found.length > 0,
    };
  }
  const halfMade = found.filter(({ State }) => State !== 'running');
  const what =
    found.length === 0
      ? `nothing of a cluster ${cluster} is there yet`
      : `${found.length} containers of this cluster are there, ${halfMade.length} of them not running: up goes on from them`;
  return { finding: ok(check, what), running: found.length > 0 };
}

async function* ports({ cluster }: Topology, running: boolean): AsyncGenerator<Finding> {
  // Those of a cluster that is there are taken by itself.
  if (running) return;
  for (const name of ['apiPort', 'sshPort'] as const) {
    const port = cluster.provider.local?.[name] ?? 0;
    if (port === 0 || (await isFree(port))) continue;
    yield {
      severity: 'error',
      check: 'host.port',
      where: `provider.local.${name}`,
      what: `port ${port} on 127.0.0.1 is taken`,
      next: 'set it to a free port, or to 0, which finds one',
    };
  }
}

async function* range({ cluster }: Topology, { docker }: Place): AsyncGenerator<Finding> {
  const wanted = cluster.network.machines;
  const networks = (await overlapping(docker, wanted)).filter(({ name }) => name !== networkName(cluster.name));
  const own = (await docker.listNetworks()).find(({ Name }) => Name === networkName(cluster.name));
  const bridge = own ? `br-${own.Id.slice(0, 12)}` : '';
  const routes = routesIn((await readText('/proc/net/route')) ?? '').filter(
    ({ device, range }) => device !== bridge && !device.startsWith('br-') && overlaps(range, wanted),
  );
  const taken = [
    ...networks.map(({ name, range }) => `Docker network ${name} has ${range}`),
    ...routes.map(({ device, range }) => `this host has a route to ${range} through ${device}`),
  ];
  if (taken.length === 0) yield ok('host.range', `${wanted} is free for machines`);
  else
    yield {
      severity: 'error',
      check: 'host.range',
      where: 'network.machines',
      what: `the address range ${wanted} is taken`,
      why: taken.join(', '),
      next: 'set network.machines in cluster.yaml to a range that nobody uses, such as 172.29.0.0/16',
    };
}

/** Routes of /proc/net/route, but the default one: addresses there are hexadecimal, lowest byte first. */
export function routesIn(text: string): readonly { device: string; range: string }[] {
  const swap = (hex: string): number => Number.parseInt((hex.match(/../g) ?? []).reverse().join(''), 16);
  return text.split('\n').flatMap((line) => {
    const [device = '', destination = '', , , , , , mask = ''] = line.split('\t');
    if (!/^[0-9A-F]{8}$/.test(mask) || mask === '00000000') return [];
    const prefix = swap(mask).toString(2).replaceAll('0', '').length;
    return [{ device, range: `${toAddress(swap(destination))}/${prefix}` }];
  });
}
