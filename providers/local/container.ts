import type Docker from 'dockerode';
import { UserError } from '../../src/errors.ts';
import type { Context } from '../../src/plan/resource.ts';
import type { HostFacts, LocalClients } from './clients.ts';
import { call, textOf } from './docker.ts';
import type { MadeWith } from './machine.ts';
import { tarOf } from './tar.ts';

interface Wanted {
  readonly name: string;
  readonly container: string;
  readonly props: MadeWith;
  readonly labels: Record<string, string>;
  /** On 127.0.0.1, for SSH. */
  readonly port: number | undefined;
  readonly host: HostFacts;
}

/** What Docker is asked for: all that systemd, containerd and kubelet need, and not `--privileged`, which not every host can give. */
export function machineContainer({
  name,
  container,
  props,
  labels,
  port,
  host,
}: Wanted): Docker.ContainerCreateOptions & { name: string } {
  const runsPods = props.role === 'master' || props.role === 'worker';
  // On Docker's own overlay these would be an overlay on an overlay, which the kernel refuses. Anonymous: they go with the machine.
  const anonymous = runsPods ? ['/var/lib/containerd', '/var/lib/kubelet', '/var/log'] : [];
  return {
    name: container,
    Hostname: name,
    Image: props.image,
    Labels: labels,
    StopTimeout: 10,
    ...(port !== undefined && { ExposedPorts: { '22/tcp': {} } }),
    HostConfig: {
      CapAdd: ['ALL'],
      ...(!host.canGiveSysResource && { CapDrop: ['SYS_RESOURCE'] }),
      SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
      // What the command line calls systempaths=unconfined.
      MaskedPaths: [],
      ReadonlyPaths: [],
      DeviceCgroupRules: ['a *:* rwm'],
      Devices: [{ PathOnHost: '/dev/kmsg', PathInContainer: '/dev/kmsg', CgroupPermissions: 'rwm' }],
      Cgroup: '',
      ...{ CgroupnsMode: 'private' },
      Tmpfs: { '/run': '', '/tmp': 'exec' },
      Sysctls: { 'net.ipv4.ip_forward': '1' },
      Mounts: [
        ...anonymous.map((Target) => ({ Type: 'volume' as const, Source: '', Target, VolumeOptions: noCopy })),
        ...Object.entries(props.volumes).map(([Target, Source]) => ({
          Type: 'volume' as const,
          Source,
          Target,
          VolumeOptions: noCopy,
        })),
        { Type: 'bind', Source: props.assets, Target: '/opt/slipway', ReadOnly: true },
      ],
      ExtraHosts: [...props.hosts],
      NetworkMode: props.network,
      ...(port !== undefined && { PortBindings: { '22/tcp': [{ HostIp: '127.0.0.1', HostPort: String(port) }] } }),
      RestartPolicy: { Name: 'unless-stopped' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
    },
    NetworkingConfig: { EndpointsConfig: { [props.network]: { IPAMConfig: { IPv4Address: props.address } } } },
  };
}
const noCopy = { NoCopy: true, Labels: {}, DriverConfig: { Name: 'local', Options: {} } };

/** What a machine gets before its first start, through the Docker API: never in its environment or its labels. */
interface FirstBoot {
  readonly hostKey: string;
  readonly authorizedKey: string;
  readonly role: MadeWith['role'];
}

/** Starts a container that is not running. */
export async function boot(docker: Docker, id: string, ctx: Context<LocalClients>, first?: FirstBoot): Promise<void> {
  const container = docker.getContainer(id);
  if (first) {
    const archive = await tarOf([
      { path: 'etc/ssh/ssh_host_ed25519_key', content: first.hostKey, mode: 0o600 },
      { path: 'etc/ssh/authorized_keys', content: `${first.authorizedKey.trim()}\n`, mode: 0o600 },
      ...(first.role === 'bastion'
        ? [{ path: 'etc/ssh/sshd_config.d/bastion.conf', content: 'AllowTcpForwarding local\n', mode: 0o644 }]
        : []),
    ]);
    await call(() => container.putArchive(archive, { path: '/' }), ctx);
  }
  try {
    // Docker answers 304 for one that runs already.
    await call(() => container.start(), ctx);
  } catch (error) {
    if (/already started|304/.test(textOf(error))) return;
    if (/address already in use/i.test(textOf(error)) && !/port/i.test(textOf(error))) {
      throw new UserError({
        what: "the machine's address is in use by another container",
        where: ctx.address,
        why: textOf(error),
        next: 'disconnect that container from the network (docker network inspect shows it)',
      });
    }
    throw error;
  }
}
