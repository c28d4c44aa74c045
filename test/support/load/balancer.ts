import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { tarOf } from '../../../providers/local/tar.ts';
import { dockerClient, type TestCluster } from '../cli.ts';

const port = 8080;
const configPath = '/etc/haproxy/haproxy.cfg';

/**
 * What a cloud would put before a Service: it knows of each node only what its kube-proxy says on 10256, every half second, and tries
 * nothing twice. As everywhere, one bad answer takes a node out and two good ones bring it back.
 */
const config = (backends: Readonly<Record<string, string>>, nodePort: number): string => `global
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

frontend application
  bind :${port}
  default_backend nodes

backend nodes
  balance roundrobin
  option httpchk GET /healthz
  http-check expect status 200
  default-server check port 10256 inter 500ms fastinter 500ms downinter 500ms fall 1 rise 2
${Object.entries(backends)
  .map(([name, address]) => `  server ${name} ${address}:${nodePort}`)
  .join('\n')}
`;

export interface Balancer {
  readonly url: URL;
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
  nodePort: number,
): Promise<Balancer> {
  const name = `${cluster.name}-app-balancer`;
  await removeContainer(name);
  const { Image: image } = await dockerClient.getContainer(`${cluster.name}-balancer`).inspect();
  const container = await dockerClient.createContainer({
    name,
    Image: image,
    User: 'haproxy',
    Entrypoint: ['haproxy', '-W', '-db', '-f', configPath],
    StopSignal: 'SIGUSR1',
    Labels: { 'slipway.cluster': cluster.name },
    ExposedPorts: { [`${port}/tcp`]: {} },
    HostConfig: {
      CapDrop: ['ALL'],
      NetworkMode: `slipway-${cluster.name}`,
      PortBindings: { [`${port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: '' }] },
    },
  });
  await container.putArchive(await tarOf([{ path: configPath.slice(1), content: config(backends, nodePort), mode: 0o644 }]), {
    path: '/',
  });
  await container.start();
  const published = await publishedPort(container);
  return {
    url: new URL(`http://127.0.0.1:${published}/`),
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

async function publishedPort(container: Docker.Container): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const { NetworkSettings: settings, State: state } = await container.inspect();
    const found = settings.Ports[`${port}/tcp`]?.[0]?.HostPort;
    if (found) return found;
    if (attempt === 20) {
      const log = (await container.logs({ stdout: true, stderr: true, tail: 10 })).toString('latin1');
      throw new Error(`the application's balancer has no port: it is ${state.Status}\n${log}`);
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
