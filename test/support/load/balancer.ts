import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { tarOf } from '../../../providers/local/tar.ts';
import { dockerClient, type TestCluster } from '../cli.ts';

/** Of the first port of nodes; those of the others follow. */
const firstPort = 8080;
const configPath = '/etc/haproxy/haproxy.cfg';

/**
 * What a cloud would put before a Service: it knows of each node only what its kube-proxy says on 10256, every half second, and tries
 * nothing twice. As everywhere, one bad answer takes a node out and two good ones bring it back.
 */
const config = (backends: Readonly<Record<string, string>>, nodePorts: readonly number[]): string => `global
  maxconn 4000
  no strict-limits
  log stdout format raw local0 notice

defaults
  mode tcp
  log global
  retries 0
  timeout connect 2s
  timeout check 2s
  timeout client 30s
  timeout server 30s

${nodePorts.map((nodePort, index) => proxy(backends, nodePort, index)).join('\n')}
`;

/** One port of nodes. What their kube-proxies say is asked once for all ports. */
const proxy = (backends: Readonly<Record<string, string>>, nodePort: number, index: number): string => `frontend port-${nodePort}
  bind :${firstPort + index}
  default_backend nodes-${index}

backend nodes-${index}
  balance roundrobin
${index === 0 ? '  option httpchk GET /healthz\n  http-check expect status 200\n  default-server check port 10256 inter 500ms fastinter 500ms downinter 500ms fall 1 rise 2\n' : ''}${Object.entries(
  backends,
)
  .map(([name, address]) => `  server ${name} ${address}:${nodePort}${index === 0 ? '' : ` track nodes-0/${name}`}`)
  .join('\n')}
`;

export interface Balancer {
  /** One a port of nodes. */
  readonly urls: readonly URL[];
  /** Which nodes went and came, as haproxy says it. */
  log(): Promise<readonly string[]>;
  remove(): Promise<void>;
}

/**
 * haproxy out of the machine image, in the cluster's own network. `backends`: name → address, also of nodes that may come yet.
 * It carries the cluster's label, so that what cleans up after a crashed run takes it along; `cluster down` needs it removed before.
 */
export async function startBalancer(
  cluster: TestCluster,
  backends: Readonly<Record<string, string>>,
  nodePorts: readonly number[],
): Promise<Balancer> {
  const name = `${cluster.name}-app-balancer`;
  const ports = nodePorts.map((_, index) => firstPort + index);
  await removeContainer(name);
  const { Image: image } = await dockerClient.getContainer(`${cluster.name}-balancer`).inspect();
  const container = await dockerClient.createContainer({
    name,
    Image: image,
    User: 'haproxy',
    Entrypoint: ['haproxy', '-W', '-db', '-f', configPath],
    StopSignal: 'SIGUSR1',
    Labels: { 'slipway.cluster': cluster.name },
    ExposedPorts: Object.fromEntries(ports.map((port) => [`${port}/tcp`, {}])),
    HostConfig: {
      CapDrop: ['ALL'],
      NetworkMode: `slipway-${cluster.name}`,
      PortBindings: Object.fromEntries(ports.map((port) => [`${port}/tcp`, [{ HostIp: '127.0.0.1', HostPort: '' }]])),
    },
  });
  await container.putArchive(await tarOf([{ path: configPath.slice(1), content: config(backends, nodePorts), mode: 0o644 }]), {
    path: '/',
  });
  await container.start();
  const published = await publishedPorts(container, ports);
  return {
    urls: published.map((port) => new URL(`http://127.0.0.1:${port}/`)),
    async log() {
      const log = await container.logs({ stdout: true, stderr: true, timestamps: true });
      return log
        .toString('latin1')
        .split('\n')
        .flatMap((line) => line.match(/\d{4}-\d\d-\d\dT.*/)?.[0] ?? []);
    },
    remove: () => removeContainer(name),
  };
}

async function publishedPorts(container: Docker.Container, ports: readonly number[]): Promise<readonly string[]> {
  for (let attempt = 1; ; attempt++) {
    const { NetworkSettings: settings, State: state } = await container.inspect();
    const found = ports.flatMap((port) => settings.Ports[`${port}/tcp`]?.[0]?.HostPort ?? []);
    if (found.length === ports.length) return found;
    if (attempt === 20) {
      const log = (await container.logs({ stdout: true, stderr: true, tail: 10 })).toString('latin1');
      throw new Error(`the application's balancer has no ports: it is ${state.Status}\n${log}`);
    }
    await sleep(100);
  }
}

async function removeContainer(name: string): Promise<void> {
  await dockerClient
    .getContainer(name)
    .remove({ force: true, v: true })
    .catch((error: unknown) => {
      if (!/no such container/i.test(String(error))) throw error;
    });
}
