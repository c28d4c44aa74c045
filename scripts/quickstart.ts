/** `npm run quickstart`: a highly available cluster on this machine, up, and shown with kubectl; says what to do next. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const file = `${root}examples/local/cluster.yaml`;
function step(title: string, ...args: string[]): void {
  console.error(`\n$ cluster ${args.join(' ')}    # ${title}`);
  const { status } = spawnSync(process.execPath, [`${root}bin/cluster.js`, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
step('3 etcd machines, 3 masters behind a balancer, 3 workers in 3 zones, a bastion', 'up', '--yes', '-f', file);
step('a context named demo in your kubeconfig; a backup of the file is kept', 'kubeconfig', '-f', file);
step(
  'with the credentials that were just written',
  'kubectl',
  '-f',
  file,
  '--',
  'get',
  'nodes',
  '-o',
  'wide',
  '-L',
  'topology.kubernetes.io/zone',
);
console.error('\nThe cluster runs. To look around: node bin/cluster.js status -f examples/local/cluster.yaml');
console.error('To delete it: node bin/cluster.js down -f examples/local/cluster.yaml --allow-data-loss');
