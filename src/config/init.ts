import type { ProviderName } from './schema.ts';

/** What a new cluster.yaml is made from. */
export interface InitAnswers {
  readonly name: string;
  readonly provider: ProviderName;
  readonly zones: readonly string[];
  readonly masters: number;
  readonly etcd: number;
  readonly workers: number;
  /** Kubernetes: `1.36.3`. */
  readonly version: string;
  /** Google Cloud only. */
  readonly project?: string;
  /** Clouds only: ranges from which SSH reaches the bastion. */
  readonly sshFrom?: readonly string[];
  /** Path or URL of the JSON Schema, for editors. */
  readonly schema?: string;
}

/** Region of the first zone: `eu-central-1a` → `eu-central-1`, `europe-west3-a` → `europe-west3`. */
export const regionOf = (provider: ProviderName, zones: readonly string[]): string =>
  (zones[0] ?? '').replace(provider === 'aws' ? /[a-z]$/ : /-[a-z]$/, '');

/** A cluster.yaml with comments, for someone who sees one for the first time. */
export function renderInit(answers: InitAnswers): string {
  const { name, zones, version, masters, etcd, workers } = answers;
  const slots = zones.map((zone, i) => `    ${zone}: ${i}`).join('\n');
  return `${answers.schema === undefined ? '' : `# yaml-language-server: $schema=${answers.schema}\n`}# A Kubernetes cluster, as Slipway builds it. Everything that is not here has a default: see docs/config.md.
# Check this file with \`cluster validate\`, see what it would do with \`cluster plan\`, do it with \`cluster up\`.
apiVersion: slipway/v1
kind: Cluster

# Part of the names of everything that is made. It cannot be changed later.
name: ${name}

${providerBlock(answers)}

# Zones fail apart: etcd, masters and workers are spread over them.
zones: [${zones.join(', ')}]

network:
  # Address ranges. They must not overlap, and cannot be changed later.
  machines: ${answers.provider === 'local' ? '172.30.0.0/16' : '10.80.0.0/16'}
  pods: 10.244.0.0/16
  services: 10.96.0.0/16
  # Each zone's part of the machine range. A zone keeps its number for life; a new zone takes the next free one.
  zoneSlots:
${slots}

kubernetes:
  # A new version is brought in by an upgrade, machine by machine: \`cluster up\` leaves a cluster at the one it has.
  version: ${version}

${bastionBlock(answers)}etcd:
  # ${etcdComment(etcd)}
  count: ${etcd}

masters:
  # ${masters === 1 ? 'One control plane: while it is replaced, the API is away. 3 keep it serving.' : 'Control planes, behind a balancer.'}
  count: ${masters}

pools:
  # Groups of workers; each has its own size, zones, labels, taints and way to be upgraded.
  - name: workers
    count: ${workers}
    # labels: { example.com/tier: web }
    # taints: [{ key: dedicated, value: web, effect: NoSchedule }]

secrets:
  # Who can open the cluster's keys: public parts of age keys, made with \`age-keygen\`. With none, a key is made on the machine that runs
  # \`cluster up\`, and is the only one: add a second, so that a lost laptop does not lock you out.
  recipients: []
`;
}

function providerBlock({ provider, zones, project }: InitAnswers): string {
  switch (provider) {
    case 'local':
      return `# Machines are containers on this Linux machine, made by Docker.
provider:
  local: {}`;
    case 'aws':
      return `provider:
  aws:
    region: ${regionOf('aws', zones)}
    # accountIds: ["123456789012"]    # accounts in which this cluster may be made`;
    case 'gcp':
      return `provider:
  gcp:
    project: ${project ?? ''}
    region: ${regionOf('gcp', zones)}`;
  }
}

const bastionBlock = ({ provider, sshFrom = [] }: InitAnswers): string =>
  provider === 'local'
    ? ''
    : `bastion:
  # From where SSH may reach it: everything else is reached through it, also by \`cluster up\`.
  allowedCidrs: [${sshFrom.join(', ')}]

`;

function etcdComment(count: number): string {
  const bears = Math.ceil(count / 2) - 1;
  return bears === 0
    ? 'Members, each on a machine of its own. None may fail: 3 bear the loss of one.'
    : `Members, each on a machine of its own: 1, 3 or 5. ${count} bear the loss of ${bears === 1 ? 'one' : bears}.`;
}
