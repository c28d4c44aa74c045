import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestCluster } from './cli.ts';

/** kubectl apply of a text. */
export async function applyYaml(cluster: TestCluster, yaml: string): Promise<void> {
  const file = join(cluster.directory, 'workload.yaml');
  writeFileSync(file, yaml);
  await cluster.kubectl('apply', '-f', file);
}

/** Puts the test application's image into containerd of these nodes: there is no registry here. */
export async function importTestImage(cluster: TestCluster, nodes: readonly string[]): Promise<void> {
  await Promise.all(
    nodes.map((node) =>
      cluster.ssh(node, '$(ls -d /opt/slipway/containerd/*/ctr) -n k8s.io images import /opt/slipway/images/testapp-1.tar'),
    ),
  );
}

/** Asserts again and again until it holds or `ms` have passed: then with its own failure. */
export async function eventually(assertion: () => Promise<void>, ms: number): Promise<void> {
  const end = Date.now() + ms;
  for (;;) {
    try {
      await assertion();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((wake) => setTimeout(wake, 500));
    }
  }
}
