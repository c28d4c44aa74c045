import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { dockerClient, type TestCluster } from '../cli.ts';
import { testapp } from '../testapp.ts';

const everyMs = 250;
const script = `$(ls -d /opt/slipway/containerd/*/ctr | tail -1) -n k8s.io images import /opt/slipway/${testapp.path} >/dev/null 2>&1 && echo imported`;

/**
 * Stands in for a registry, of which there is none here: every machine of the pool, also one that is made later, has the test application's image
 * as soon as its containerd runs.
 */
export function keepImages(cluster: TestCluster, pool: string): { has(machines: number): Promise<void>; stop(): Promise<void> } {
  const stopping = new AbortController();
  const done = new Set<string>();
  const keeping = (async () => {
    while (!stopping.signal.aborted) {
      const running = await dockerClient.listContainers({ filters: { label: [`slipway.cluster=${cluster.name}`] } });
      const missing = running.filter(
        ({ Id, Labels }) => Labels['slipway.resource']?.startsWith(`local.machine/${pool}-`) && !done.has(Id),
      );
      await Promise.all(missing.map(async ({ Id }) => (await imported(Id)) && done.add(Id)));
      await sleep(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async has(machines) {
      for (const end = Date.now() + 60_000; done.size < machines; await sleep(everyMs))
        if (Date.now() > end) throw new Error(`the test image is on ${done.size} machines of ${machines}`);
    },
    async stop() {
      stopping.abort();
      await keeping;
    },
  };
}

/** False where containerd does not run yet, and where the machine has gone meanwhile. */
async function imported(container: string): Promise<boolean> {
  try {
    const exec = await dockerClient.getContainer(container).exec({ Cmd: ['sh', '-c', script], AttachStdout: true, Tty: true });
    return (await text(await exec.start({ Tty: true }))).includes('imported');
  } catch {
    return false;
  }
}
