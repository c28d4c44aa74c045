import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ended, ended, type TestCluster } from './cli.ts';
import { assetCache } from './local-etcd.ts';

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
      cluster.ssh(
        node,
        '$(ls -d /opt/slipway/containerd/*/ctr | tail -1) -n k8s.io images import /opt/slipway/images/testapp-1.tar',
      ),
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

/** kubectl with its own kubeconfig: a tenth of a second a call, where `cluster kubectl` looks at the whole cluster first. */
export interface Kubectl {
  /** Its stdout; fails with its stderr. */
  (...args: string[]): Promise<string>;
  /** Ends as it ends, fed with `input`. */
  attempt(args: readonly string[], input?: string | Buffer): Promise<Ended & { readonly bytes: Buffer }>;
  /** `apply -f -` of objects or of YAML. */
  apply(objects: string | readonly object[]): Promise<void>;
  /** A field as kubectl's JSONPath prints it: `read('pod/web', '.status.podIP')`. */
  read(thing: string, path: string, namespace?: string): Promise<string>;
  /** Runs testapp's subcommand in a pod. */
  inPod(pod: string, ...args: string[]): Promise<string>;
  /** In the background, until the test kills it. */
  start(...args: string[]): ChildProcess;
}

/** kubectl of the cluster's version out of the asset cache, in this namespace unless told another. */
export async function openKubectl(
  cluster: TestCluster,
  version: string,
  namespace: string,
  flags: readonly string[] = [],
): Promise<Kubectl> {
  await cluster.must('kubeconfig', ...flags);
  const program = join(assetCache, `kubernetes/${version}/kubectl`);
  const start = (...args: string[]): ChildProcess =>
    spawn(program, args, { env: cluster.environment, stdio: ['pipe', 'pipe', 'pipe'] });
  const attempt: Kubectl['attempt'] = async (args, input) => {
    const child = start(...args);
    const parts: Buffer[] = [];
    child.stdout?.on('data', (data: Buffer) => parts.push(data));
    // It may end without having read it all.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
    return { ...(await ended(child)), bytes: Buffer.concat(parts) };
  };
  const must = async (args: readonly string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await attempt(args, input);
    if (code !== 0)
      throw new Error(`kubectl ${args.join(' ')} ended with ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}`);
    return stdout;
  };
  await must(['config', 'set-context', '--current', `--namespace=${namespace}`]);
  return Object.assign((...args: string[]) => must(args), {
    attempt,
    start,
    apply: async (objects: string | readonly object[]) => {
      const text = typeof objects === 'string' ? objects : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
      await must(['apply', '-f', '-'], text);
    },
    read: (thing: string, path: string, of = namespace) => must(['get', thing, '-n', of, '-o', `jsonpath={${path}}`]),
    inPod: (pod: string, ...args: string[]) => must(['exec', pod, '--', '/testapp', ...args]),
  });
}
