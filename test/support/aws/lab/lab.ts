import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMachineTemplate } from '../../../../providers/local/template.ts';
import { refuse } from '../answers.ts';
import { type Account, type Moto, newAccount, startMoto } from '../moto.ts';
import { type AwsProxy, startProxy } from '../proxy.ts';
import { docker, inContainer } from './docker.ts';
import { type Downloads, startDownloads } from './downloads.ts';
import { serveFront } from './front.ts';
import { type Instance, type Watched, type World, watch } from './instances.ts';
import { serveMetadata } from './metadata.ts';

/**
 * AWS with bodies: each instance of the emulator gets a Docker machine at its private address, in a network with the VPC's range, which runs
 * the instance's user data and asks its metadata. EBS volumes are files behind loop devices, the network load balancer is haproxy, the
 * private zone is lines of /etc/hosts, lifecycle hooks of groups wait for the agent, an Elastic IP is a forwarder on loopback (the emulator gives out addresses of 127.0.0.0/8).
 */
export interface Lab {
  readonly account: Account;
  readonly region: string;
  readonly moto: Moto;
  readonly proxy: AwsProxy;
  /** What the CLI needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** The container of an instance. */
  containerOf(instance: string): string;
  /** What the emulator holds. */
  world(): Promise<World>;
  /** What machines fetch of programs and images. */
  readonly downloads: Downloads;
  /** AWS tells this spot machine, in its metadata, when it is taken back: two minutes from now. */
  giveSpotNotice(instance: string): Date;
  /** Problems of the lab itself: a test that sees one has shown nothing. */
  readonly accidents: readonly string[];
  close(): Promise<void>;
}
export interface LabOptions {
  /** Of the cluster: everything in Docker carries it in the label slipway.cluster. */
  readonly name: string;
  /** The VPC's range. */
  readonly range: string;
  readonly region: string;
}

const label = 'slipway.cluster';
const everyMs = 400;
/** Between a spot machine's notice and its end. */
const noticeMs = 120_000;
const apiPort = 6443;

export async function startLab({ name, range, region }: LabOptions): Promise<Lab> {
  removeOld(name);
  const directory = mkdtempSync(directoryOf(name));
  const network = `${name}-vpc`;
  const base = range.split('/')[0]?.split('.').slice(0, 3).join('.') ?? '';
  const gateway = `${base}.1`;
  // Nobody's: at the end of the first zone's private range.
  const balancerAddress = `${base}.251`;
  await docker('network', 'create', '--subnet', range, '--gateway', gateway, '--label', `${label}=${name}`, network);
  const image = (await readMachineTemplate()).tag;
  const moto = await startMoto({ smallestPart: 1, hooks: 1 });
  const proxy = await startProxy(moto);
  const downloads = startDownloads();
  const front = await serveFront(gateway, proxy.url, downloads);
  const account = newAccount();
  const signer = identitySigner(directory);
  // A region without that action, and quotas that are unknown: moto breaks down at them.
  const missing = { refuse: refuse('UnsupportedOperation', 'The functionality you requested is not available in this region.') };
  proxy.when(({ action }) => action === 'DescribeInstanceTopology', missing);
  const unknown = { refuse: refuse('NoSuchResourceException', 'The request failed because the specified quota does not exist.') };
  proxy.when(({ action }) => action === 'GetAWSDefaultServiceQuota', unknown);
  const watched = watch(moto.url, account.id, region);
  const machines = new Map<string, Machine>();
  const accidents: string[] = [];
  const notices = new Map<string, Date>();
  const metadata = await serveMetadata({
    host: gateway,
    region,
    account,
    signer,
    // A fixed address goes from an instance that is gone to its successor.
    instanceAt: (address) =>
      [...machines.values()].find(({ instance, state }) => instance.address === address && state !== 'gone')?.instance,
    userData: watched.userData,
    takenBack: (instance) => notices.get(instance),
  });
  const forwarders = new Map<string, Server>();
  const place = {
    name,
    network,
    image,
    directory,
    certificate: signer.certificateFile,
    metadataAt: `${gateway}:${metadata.port}`,
  };
  let closing = false;
  let served = '';
  const step = async (): Promise<void> => {
    const world = await watched.read();
    // An address goes from one that is gone to its successor.
    const [going, others] = [world.instances.filter(isGoing), world.instances.filter((instance) => !isGoing(instance))];
    for (const some of [going, others]) await Promise.all(some.map((instance) => follow(instance, machines, place, watched)));
    await Promise.all([...machines.values()].map((machine) => giveNames(machine, world, balancerAddress)));
    served = await followBalancer(world, { ...place, address: balancerAddress }, served);
    forward(world, forwarders);
  };
  const loop = (async () => {
    while (!closing) {
      await step().catch((error: unknown) => accidents.push(String(error)));
      await sleep(everyMs);
    }
  })();
  return {
    account,
    region,
    moto,
    proxy,
    accidents,
    environment: {
      AWS_ENDPOINT_URL: front.url,
      AWS_ACCESS_KEY_ID: account.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: account.credentials.secretAccessKey,
      AWS_REGION: region,
    },
    containerOf: (instance) => `${name}-${instance}`,
    world: () => watched.read(),
    downloads,
    giveSpotNotice(instance) {
      const at = new Date(Date.now() + noticeMs);
      notices.set(instance, at);
      return at;
    },
    async close() {
      closing = true;
      await loop;
      for (const server of forwarders.values()) server.close();
      const containers = (await docker('ps', '-aq', '--filter', `label=${label}=${name}`)).split('\n').filter(Boolean);
      if (containers.length > 0) await docker('rm', '-f', '-v', ...containers);
      await docker('network', 'rm', network);
      for (const machine of machines.values()) for (const loopDevice of machine.devices.values()) detach(loopDevice);
      metadata.close();
      front.close();
      await proxy.close();
      await moto.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const directoryOf = (name: string): string => join(tmpdir(), `slipway-lab-${name}-`);
/** Loop devices and files of a run that was killed. Its containers and network go with the cluster's label. */
function removeOld(name: string): void {
  const devices = execFileSync('losetup', ['--list', '--noheadings', '--raw', '--output', 'NAME,BACK-FILE'], {
    encoding: 'utf8',
  });
  for (const line of devices.split('\n')) {
    const [device = '', file = ''] = line.split(' ');
    if (file.startsWith(directoryOf(name))) detach(device);
  }
  for (const old of readdirSync(tmpdir())) {
    const path = join(tmpdir(), old);
    if (path.startsWith(directoryOf(name))) rmSync(path, { recursive: true, force: true });
  }
}

interface Place {
  readonly name: string;
  readonly network: string;
  readonly image: string;
  readonly directory: string;
  /** Of who signs identity documents here: in the machine image, as AWS's own are in ours. */
  readonly certificate: string;
  readonly metadataAt: string;
}
interface Machine {
  instance: Instance;
  readonly container: string;
  state: 'making' | 'running' | 'stopped' | 'gone';
  names: string;
  /** Volume → loop device. */
  readonly devices: Map<string, string>;
}

const isGoing = ({ state }: Instance): boolean => ['shutting-down', 'terminated'].includes(state);

/** One instance: what it is in the emulator, its machine becomes. */
async function follow(instance: Instance, machines: Map<string, Machine>, place: Place, watched: Watched): Promise<void> {
  let machine = machines.get(instance.id);
  const running = instance.state === 'running';
  if (!machine) {
    if (!running) return;
    machine = { instance, container: `${place.name}-${instance.id}`, state: 'making', names: '', devices: new Map() };
    machines.set(instance.id, machine);
    await create(machine, place);
    await attach(machine, place);
    // As cloud-init does, once in the instance's life.
    const userData = await watched.userData(instance.id);
    await inContainer(machine.container, `cat >/run/user-data <<'USERDATA'\n${userData}\nUSERDATA\n`);
    await waitForSystemd(machine.container);
    await docker('exec', machine.container, 'systemd-run', '--no-block', '--quiet', '--unit=cloud-final', 'sh', '/run/user-data');
    machine.state = 'running';
    return;
  }
  machine.instance = instance;
  if (machine.state === 'making' || machine.state === 'gone') return;
  if (isGoing(instance)) {
    machine.state = 'gone';
    await docker('rm', '-f', '-v', machine.container);
    for (const device of machine.devices.values()) detach(device);
    machine.devices.clear();
  } else if (['stopping', 'stopped'].includes(instance.state) && machine.state === 'running') {
    machine.state = 'stopped';
    await docker('stop', '-t', '2', machine.container);
  } else if (running && machine.state === 'stopped') {
    machine.names = '';
    await docker('start', machine.container);
    await prepare(machine.container, place);
    for (const [volume, device] of machine.devices) await showDevice(machine.container, volume, device);
    machine.state = 'running';
  } else if (running) await attach(machine, place);
}

async function create({ container, instance }: Machine, place: Place): Promise<void> {
  const volumes = ['/var/lib/containerd', '/var/lib/kubelet', '/var/log'].flatMap((path) => [
    '--mount',
    `type=volume,dst=${path},volume-nocopy`,
  ]);
  const flags = ['seccomp=unconfined', 'apparmor=unconfined', 'systempaths=unconfined'].flatMap((option) => [
    '--security-opt',
    option,
  ]);
  const full = [
    ...['run', '-d', '--name', container, '--hostname', instance.id, '--label', `${label}=${place.name}`],
    ...[
      '--network',
      place.network,
      '--ip',
      instance.address,
      '--cap-add',
      'ALL',
      ...(mayGiveSysResource() ? [] : ['--cap-drop', 'SYS_RESOURCE']),
    ],
    ...[...flags, '--device-cgroup-rule', 'a *:* rwm', '--cgroupns', 'private', '--tmpfs', '/run', '--tmpfs', '/tmp:exec'],
    ...['--device', '/dev/kmsg', '--sysctl', 'net.ipv4.ip_forward=1', ...volumes, place.image],
  ];
  await docker(...full);
  await docker('exec', container, 'mkdir', '-p', '/etc/slipway');
  await docker('cp', place.certificate, `${container}:/etc/slipway/identity-document.pem`);
  await prepare(container, place);
}

/**
 * Metadata at its own address, for the machine's own programs and not for pods: as a hop limit of 1 has it. And a machine may set its kernel's
 * connection tracking, which a container shares with the host: it gets a file of its own to write to.
 */
async function prepare(container: string, { metadataAt }: Place): Promise<void> {
  await inContainer(
    container,
    `nft add table ip lab
nft 'add chain ip lab output { type nat hook output priority -101 ; }'
nft add rule ip lab output ip daddr 169.254.169.254 tcp dport 80 dnat to ${metadataAt}
mkdir -p /dev/disk/by-id
cat /proc/sys/net/netfilter/nf_conntrack_max >/run/nf_conntrack_max
mount --bind /run/nf_conntrack_max /proc/sys/net/netfilter/nf_conntrack_max
`,
  );
}

async function waitForSystemd(container: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const up = await docker('exec', container, 'systemctl', 'is-system-running').catch((error: unknown) => String(error));
    if (/running|degraded/.test(up)) return;
    if (tries > 200) throw new Error(`systemd of ${container} does not get up: ${up}`);
    await sleep(100);
  }
}

const volumeBytes = 4 * 1024 ** 3;
/** An EBS volume is a sparse file that outlives its instances, behind a loop device. */
async function attach(machine: Machine, { directory }: Place): Promise<void> {
  const { container, instance, devices } = machine;
  for (const volume of instance.volumes) {
    if (devices.has(volume)) continue;
    const file = join(directory, `${volume}.img`);
    if (!existsSync(file)) {
      const handle = openSync(file, 'w', 0o600);
      ftruncateSync(handle, volumeBytes);
      closeSync(handle);
    }
    const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
    devices.set(volume, device);
    await showDevice(container, volume, device);
  }
  for (const [volume, device] of devices) {
    if (instance.volumes.includes(volume)) continue;
    devices.delete(volume);
    await inContainer(container, `rm -f ${pathOf(volume)}`);
    detach(device);
  }
}
const pathOf = (volume: string): string => `/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${volume.replace('-', '')}`;
const showDevice = (container: string, volume: string, device: string): Promise<string> =>
  inContainer(
    container,
    `mkdir -p /dev/disk/by-id; rm -f ${pathOf(volume)}; mknod ${pathOf(volume)} b 7 ${device.replace('/dev/loop', '')}\n`,
  );

function detach(device: string): void {
  try {
    execFileSync('losetup', ['--detach', device], { stdio: 'ignore' });
  } catch {
    // In use until the last mount of it is gone; then it goes by itself.
  }
}

/** The private zone: every machine knows every name. */
async function giveNames(machine: Machine, world: World, balancerAddress: string): Promise<void> {
  if (machine.state !== 'running') return;
  const balancers = new Set(world.balancers.map(({ dnsName }) => dnsName));
  const lines = [...world.records].map(([name, target]) => `${balancers.has(target) ? balancerAddress : target} ${name}`).sort();
  const names = lines.join('\n');
  if (names === machine.names) return;
  machine.names = names;
  await inContainer(
    machine.container,
    `sed '/# zone$/d' /etc/hosts >/tmp/hosts\ncat >>/tmp/hosts <<'HOSTS'\n${lines.map((line) => `${line} # zone`).join('\n')}\nHOSTS\ncat /tmp/hosts >/etc/hosts\n`,
  );
}

/** `served`: what the balancer does now. Returns what it does then. */
async function followBalancer(world: World, place: Place & { readonly address: string }, served: string): Promise<string> {
  // Those that the cloud controller makes for Services carry nothing here.
  const [balancer] = world.balancers.filter(({ port, targets }) => port === apiPort && targets.length > 0);
  const container = `${place.name}-nlb`;
  const wanted = balancer ? `${place.name} ${balancer.port} ${balancer.targets.join(' ')}` : '';
  if (wanted === served) return served;
  await docker('rm', '-f', container).catch(() => '');
  if (!balancer) return wanted;
  const config = `defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend api
  bind :${balancer.port}
  default_backend masters
backend masters
  option httpchk GET /readyz
  default-server check check-ssl verify none inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
${balancer.targets.map((target, i) => `  server m${i} ${target}:${balancer.port}`).join('\n')}
`;
  const network = ['--network', place.network, '--ip', place.address];
  await docker(
    'run',
    '-d',
    '--name',
    container,
    '--label',
    `${label}=${place.name}`,
    ...network,
    '--entrypoint',
    'sleep',
    place.image,
    'infinity',
  );
  await inContainer(container, `cat >/tmp/haproxy.cfg <<'CFG'\n${config}CFG\nhaproxy -D -f /tmp/haproxy.cfg\n`);
  return wanted;
}

/** Elastic IPs, as far as SSH goes. */
function forward({ elasticIps }: World, forwarders: Map<string, Server>): void {
  for (const [publicIp, address] of elasticIps) {
    const key = `${publicIp} ${address}`;
    if (forwarders.has(key)) continue;
    const server = createServer((socket) => {
      const up = connect({ host: address, port: 22 });
      socket.pipe(up).pipe(socket);
      socket.on('error', () => up.destroy());
      up.on('error', () => socket.destroy());
    });
    server.on('error', () => forwarders.delete(key));
    server.listen(22, publicIp);
    forwarders.set(key, server);
  }
  for (const [key, server] of forwarders) {
    const [publicIp = '', address] = key.split(' ');
    if (elasticIps.get(publicIp) === address) continue;
    forwarders.delete(key);
    server.close();
  }
}

function identitySigner(directory: string): { readonly key: string; readonly keyFile: string; readonly certificateFile: string } {
  const { privateKey: key } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const [keyFile, certificateFile] = [join(directory, 'identity.key'), join(directory, 'identity.pem')];
  writeFileSync(keyFile, key, { mode: 0o600 });
  execFileSync('openssl', ['req', '-x509', '-new', '-key', keyFile, '-subj', '/CN=lab', '-days', '2', '-out', certificateFile], {
    stdio: 'ignore',
  });
  return { key, keyFile, certificateFile };
}

function mayGiveSysResource(): boolean {
  const status = execFileSync('cat', ['/proc/1/status'], { encoding: 'utf8' });
  const [, hex = ''] = /^CapBnd:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return ((BigInt(`0x${hex || '0'}`) >> 24n) & 1n) === 1n;
}
