import { describe, expect, test } from 'vitest';
import { ConfigError, readCluster } from '../../../src/config/load.ts';

const head = 'apiVersion: slipway/v1\nkind: Cluster\n';
/** Seven lines that make a cluster; what is tested begins in line 8. */
const base = `${head}name: demo\nprovider:\n  local: {}\nzones: [a, b, c]\n# more\n`;
const awsBase = `${head}name: demo\nprovider:\n  aws: { region: eu-central-1 }\nzones: [eu-central-1a, eu-central-1b, eu-central-1c]\nbastion: { allowedCidrs: [203.0.113.0/24] }\n`;
const pool = (text: string): string => `${base}pools:\n  - name: workers\n    count: 3\n${text}`;

function findingsOf(text: string): readonly string[] {
  try {
    return readCluster(text, 'c.yaml').findings.map(
      ({ severity, where, what, next }) => `${severity} ${where} ${what}${next ? ` => ${next}` : ''}`,
    );
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.findings.map(({ severity, where, what, next }) => `${severity} ${where} ${what}${next ? ` => ${next}` : ''}`);
  }
}

type Case = readonly [name: string, text: string, expected: string | RegExp];
const table = (cases: readonly Case[]): void => {
  test.each(cases)('%s', (_, text, expected) => {
    const found = findingsOf(text);
    if (typeof expected === 'string') expect(found.join('\n')).toContain(expected);
    else expect(found.join('\n')).toMatch(expected);
    expect(found.every((line) => /^(error|warning) c\.yaml(:\d+:\d+)? /.test(line))).toBe(true);
  });
};

test('the base of these cases is valid and without warnings', () => {
  expect(findingsOf(base)).toEqual([]);
  expect(findingsOf(awsBase)).toEqual([]);
  expect(findingsOf(pool(''))).toEqual([]);
});

describe('what is not YAML is refused where it goes wrong', () => {
  const bomb = `${base}a: &a [x, x, x, x, x, x, x, x, x]\n${'bcdefghij'
    .split('')
    .map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefghij'[i]}`).join(', ')}]\n`)
    .join('')}`;
  table([
    ['an empty file', '', 'error c.yaml:1:1 The file is empty => Make one with `cluster init`'],
    ['only comments', '# nothing\n---\n', 'error c.yaml:1:1 The file is empty'],
    [
      'a tab as indentation',
      `${head}provider:\n\tlocal: {}\n`,
      'error c.yaml:4:1 A tab is used for indentation => indent with spaces',
    ],
    ['a duplicate key', `${base}name: other\n`, 'error c.yaml:8:1 The key "name" is given twice => remove one of the two'],
    [
      'a duplicate key further down',
      `${base}etcd:\n  count: 3\n  count: 5\n`,
      'error c.yaml:10:3 The key "count" is given twice',
    ],
    ['a second document', `${base}---\nkind: Cluster\n`, 'error c.yaml:8:1 A second document begins here'],
    ['an alias without anchor', `${base}etcd: *no\n`, 'error c.yaml:8:7 No anchor &no comes before this alias'],
    ['an alias inside of itself', `${base}etcd: &e [*e]\n`, 'error c.yaml:8:11 The alias *e stands inside of what it stands for'],
    ['an anchor bomb', bomb, /error c\.yaml:\d+:\d+ The file uses more than 100 aliases/],
    [
      'nested anchors that stand for too much',
      `${base}a: &a [x, x, x]\n${'bcdef'
        .split('')
        .map((c, i) => `${c}: &${c} [${Array(6).fill(`*${'abcdef'[i]}`).join(', ')}]\n`)
        .join('')}`,
      'The file uses more than 100 aliases',
    ],
    ['a tag', `${base}etcd: !secret x\n`, 'error c.yaml:8:7 Unresolved tag: !secret'],
    ['YAML 1.1', `%YAML 1.1\n---\n${base}`, 'error c.yaml:1:1 The file says that it is YAML 1.1'],
    ['a list as a key', `${base}? [a]\n: 1\n`, 'error c.yaml:8:3 A key must be plain text'],
    ['an open bracket', `${head}zones: [a, b\n`, /error c\.yaml:\d+:\d+ Not valid YAML: /],
    ['a list', '- a\n', 'error c.yaml:1:1 The file is a list; it must be a mapping of apiVersion, kind, name'],
    ['a text', 'hello\n', 'error c.yaml:1:1 The file is "hello"; it must be a mapping'],
    ['a hundred thousand brackets', '['.repeat(100_000), 'error c.yaml:1:1 The file is nested too deeply'],
  ]);
});

describe('keys and values of the wrong shape say what is there and what must be', () => {
  table([
    ['a mistyped key', `${base}etdc: {}\n`, /error c\.yaml:8:1 Unknown key "etdc" at the top; known: .* => did you mean etcd\?/],
    [
      'a mistyped key further down',
      `${base}kubernetes:\n  api:\n    alowedCidrs: []\n`,
      /error c\.yaml:10:5 Unknown key "alowedCidrs" in kubernetes\.api; .* => did you mean allowedCidrs\?/,
    ],
    ["another tool's word", `${base}workers: 3\n`, /8:1 Unknown key "workers".* => did you mean pools\?/],
    ['a key in the wrong place', `${base}version: 1.36.3\n`, /8:1 Unknown key "version".* => version belongs in kubernetes/],
    ['a merge key', `${base}<<: {}\n`, /8:1 Unknown key "<<".* => merge keys are not part of YAML 1\.2/],
    [
      'a missing key',
      `${head}provider: { local: {} }\nzones: [a]\n`,
      /error c\.yaml:1:1 name is missing; it must be a DNS label.* => add name/,
    ],
    [
      'a version that YAML reads as a number',
      `${base}kubernetes:\n  version: 1.30\n`,
      'error c.yaml:9:12 kubernetes.version is 1.30; it must be a full version such as 1.36.3 => put it in quotes: "1.30"',
    ],
    [
      'a number in quotes',
      `${base}etcd: { count: "3" }\n`,
      'error c.yaml:8:16 etcd.count is "3"; it must be a whole number from 1 to 9 => write it without quotes: 3',
    ],
    [
      'a number out of range',
      `${base}etcd: { count: 11 }\n`,
      'error c.yaml:8:16 etcd.count is 11; it must be a whole number from 1 to 9',
    ],
    ['a fraction', `${base}masters: { count: 1.5 }\n`, 'masters.count is 1.5; it must be a whole number from 1 to 16'],
    ['an empty mapping', `${base}etcd:\n`, /error c\.yaml:8:\d+ etcd is empty; .* => write etcd: \{\}, or remove the key/],
    [
      'a text for a list',
      `${head}name: demo\nprovider: { local: {} }\nzones: a\n`,
      'c.yaml:5:8 zones is "a"; it must be a list with at least 1 entry and at most 16 entries => write a list: [a]',
    ],
    [
      'a mistyped word',
      `${base}network: { plugin: flanel }\n`,
      '8:20 network.plugin is "flanel"; it must be one of flannel, none => did you mean flannel?',
    ],
    [
      'no range',
      `${base}network: { pods: 10.0.0.0 }\n`,
      'network.pods is "10.0.0.0"; it must be an IPv4 range such as 10.0.0.0/16',
    ],
    [
      'a wrong version of the format',
      'apiVersion: slipway/v2\n',
      'c.yaml:1:13 apiVersion is "slipway/v2"; it must be slipway/v1',
    ],
    [
      'a share over 100 %',
      pool('    upgrade: { maxUnavailable: 120% }\n'),
      '11:32 pools[0].upgrade.maxUnavailable is "120%"; it must be a whole number from 0 to 5000, or a percentage such as 25%',
    ],
    [
      'an account ID that YAML reads as a number',
      `${head}name: x\nprovider: { aws: { region: eu-central-1, accountIds: [012345678901] } }\nzones: [eu-central-1a]\n`,
      'put it in quotes: "012345678901"',
    ],
    [
      'a boolean for a label',
      pool('    labels: { spot: true }\n'),
      '11:21 pools[0].labels.spot is true; it must be a text => put it in quotes: "true"',
    ],
    ['a cluster name with capitals', base.replace('demo', 'Demo'), 'c.yaml:3:7 name is "Demo"; it must be a DNS label'],
    ['escape sequences are not passed on', `${base}"\\e[31mred": 1\n`, /Unknown key "\\u001b\[31mred"/],
  ]);
});

describe('what does not fit together', () => {
  table([
    ['no provider', base.replace('  local: {}', '  {}'), 'provider has none of local, aws, gcp; it must have exactly one'],
    [
      'two providers',
      base.replace('  local: {}', '  local: {}\n  aws: { region: eu-central-1 }'),
      'error c.yaml:5:3 provider has local and aws; it must have exactly one',
    ],
    [
      'overlapping ranges',
      `${base}network:\n  services: 10.244.128.0/17\n`,
      'error c.yaml:9:13 network.services 10.244.128.0/17 overlaps network.pods 10.244.0.0/16',
    ],
    [
      'a machine range that is too small',
      `${base}network:\n  machines: 172.30.0.0/21\n`,
      'error c.yaml:9:13 network.machines 172.30.0.0/21 is too small; it must be a /8 to /20',
    ],
    [
      'a range from its middle',
      `${base}network:\n  pods: 10.244.1.0/16\n`,
      '9:9 network.pods 10.244.1.0/16 does not begin at its first address => write 10.244.0.0/16',
    ],
    [
      'a pod range for too few nodes',
      `${pool('')}network: { pods: 10.244.0.0/22 }\n`,
      '11:18 network.pods 10.244.0.0/22 has room for 4 nodes, and masters and pools may have 6 => use a /21 or larger',
    ],
    [
      'too many machines in a zone',
      `${base.replace('[a, b, c]', '[a]')}network: { machines: 172.30.0.0/20 }\npools: [{ name: w, count: 15 }]\n`,
      'pools[0].count 15 means 15 machines in one zone',
    ],
    ['loopback', `${base}network: { pods: 127.0.0.0/16 }\n`, 'touches 127.0.0.0/8, which is loopback'],
    [
      'public addresses',
      `${base}network: { pods: 8.8.0.0/16 }\n`,
      'warning c.yaml:8:18 network.pods 8.8.0.0/16 is not in a private range',
    ],
    ['an even etcd', `${base}etcd: { count: 4 }\n`, 'warning c.yaml:8:16 etcd has 4 members, an even number => use 3 or 5'],
    ['more than 7 members', `${base}etcd: { count: 9 }\n`, 'warning c.yaml:8:16 etcd has 9 members, more than 7'],
    [
      'two of three etcd in one zone',
      base.replace('[a, b, c]', '[a, b]'),
      'warning c.yaml:6:8 The loss of one zone stops etcd: a (2 of 3)',
    ],
    [
      'an unknown zone of a pool',
      pool('    zones: [a, d]\n'),
      'error c.yaml:11:16 pools[0].zones names zone d, and zones has only a, b, c',
    ],
    ['an unknown zone of etcd', `${base}etcd: { zones: [d] }\n`, '8:17 etcd.zones names zone d'],
    ['an unknown zone of masters', `${base}masters: { zones: [d] }\n`, '8:20 masters.zones names zone d'],
    ['a zone twice', base.replace('[a, b, c]', '[a, b, a]'), 'error c.yaml:6:15 zones names zone a twice'],
    ['two zones in one slot', `${base}network: { zoneSlots: { a: 0, b: 0 } }\n`, '8:34 Zones a and b both have slot 0'],
    [
      'a slot of an unknown zone',
      `${base}network: { zoneSlots: { d: 3 } }\n`,
      'warning c.yaml:8:25 network.zoneSlots has a slot for zone d',
    ],
    ['two pools of one name', `${pool('')}  - name: workers\n    count: 1\n`, 'error c.yaml:11:11 Two pools are named workers'],
    ['a pool named etcd', `${base}pools: [{ name: etcd, count: 1 }]\n`, '8:17 A pool cannot be named etcd'],
    [
      'two pools with the same machine names',
      `${base.replace('[a, b, c]', '[a, b-a]')}pools: [{ name: x, count: 2 }, { name: x-b, count: 1 }]\n`,
      'Machine x-b-a-1 of pool x-b would have the name of a machine of x',
    ],
    ['count and min', pool('    min: 1\n'), 'error c.yaml:10:12 Pool workers has count and min => keep count, or min and max'],
    ['no size', `${base}pools:\n  - name: w\n`, '9:5 Pool w has no size => add count, or both min and max'],
    ['min without max', `${awsBase}pools: [{ name: w, min: 1 }]\n`, 'Pool w has no max'],
    [
      'a tag key that is ours',
      awsBase.replace('{ region: eu-central-1 }', '{ region: eu-central-1, tags: { slipway.dev/cluster: other } }'),
      'provider.aws.tags has the key "slipway.dev/cluster"; it must be a tag key of AWS',
    ],
    [
      'a KMS key that is none',
      awsBase.replace('{ region: eu-central-1 }', '{ region: eu-central-1, kmsKey: my key }'),
      'it must be the ARN, ID or alias of a KMS key',
    ],
    [
      'a KMS key of another region',
      awsBase.replace(
        '{ region: eu-central-1 }',
        '{ region: eu-central-1, kmsKey: "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" }',
      ),
      'the KMS key is of region us-east-1, and the cluster of eu-central-1',
    ],
    ['min over max', `${awsBase}pools: [{ name: w, min: 4, max: 2 }]\n`, '8:25 Pool w has min 4, more than max 2'],
    [
      'an autoscaled pool on local',
      `${base}pools: [{ name: w, min: 1, max: 2 }]\n`,
      'warning c.yaml:8:33 Pool w stays at its min, 1',
    ],
    [
      'spot on local',
      pool('    spot: true\n'),
      'warning c.yaml:11:11 spot of pool workers has no effect with the local provider',
    ],
    ['a label that Kubernetes refuses', pool('    labels: { "a b": x }\n'), '11:15 Kubernetes refuses the label key "a b"'],
    [
      'a label value that Kubernetes refuses',
      pool('    labels: { a: "x y" }\n'),
      '11:18 Kubernetes refuses the value "x y" of label a',
    ],
    [
      'a role label',
      pool('    labels: { node-role.kubernetes.io/web: "" }\n'),
      '11:15 The label node-role.kubernetes.io/web cannot be set by a pool',
    ],
    ['a zone label', pool('    labels: { topology.kubernetes.io/zone: z }\n'), 'cannot be set by a pool'],
    [
      'a taint twice',
      pool('    taints: [{ key: a, effect: NoSchedule }, { key: a, value: b, effect: NoSchedule }]\n'),
      '11:46 Pool workers has the taint a:NoSchedule twice',
    ],
    [
      'a taint key that Kubernetes refuses',
      pool('    taints: [{ key: a/b/c, effect: NoSchedule }]\n'),
      '11:21 Kubernetes refuses the taint key "a/b/c": it may have one slash',
    ],
    [
      'a taint of a controller',
      pool('    taints: [{ key: node.kubernetes.io/not-ready, effect: NoSchedule }]\n'),
      'The taint node.kubernetes.io/not-ready belongs to Kubernetes',
    ],
    [
      'an unknown version',
      `${base}kubernetes: { version: 1.29.0 }\n`,
      /8:24 Kubernetes 1\.29\.0 is not among the versions that Slipway installs: 1\.36\.3, .* => use one of these/,
    ],
    ['an unknown patch', `${base}kubernetes: { version: 1.36.1 }\n`, '=> use 1.36.3'],
    [
      'an unknown version of a component',
      `${base}kubernetes: { components: { containerd: 2.3.2 } }\n`,
      'error c.yaml:8:41 Version 2.3.2 of containerd is not among those that Slipway installs: 2.4.2, 2.4.1, 2.3.7 => use 2.3.7, or remove the key',
    ],
    [
      'an etcd that Kubernetes is too new for',
      `${base}kubernetes: { components: { etcd: 3.5.16 } }\n`,
      /error c\.yaml:8:35 Kubernetes 1\.36\.3 does not run with etcd 3\.5\.16 => use 3\.5\.34/,
    ],
    [
      'a component by a part of its version',
      `${base}kubernetes: { components: { runc: 1.5 } }\n`,
      '8:35 kubernetes.components.runc is 1.5; it must be a full version such as 1.5.2 => put it in quotes: "1.5"',
    ],
    [
      'an unknown component',
      `${base}kubernetes: { components: { etc: 3.6.16 } }\n`,
      '8:29 Unknown key "etc" in kubernetes.components',
    ],
    [
      "etcd's version among its settings",
      `${base}etcd: { version: 3.5.35 }\n`,
      "=> etcd's version is kubernetes.components.etcd",
    ],
    ['a component at the top', `${base}containerd: { version: 2.3.7 }\n`, '=> containerd belongs in kubernetes.components'],
    [
      'flannel, where there is none',
      `${base}network: { plugin: none }\nkubernetes: { components: { flannel: 0.28.4 } }\n`,
      'warning c.yaml:9:38 kubernetes.components.flannel has no effect: network.plugin is none',
    ],
    [
      'a flag that Slipway owns',
      `${base}kubernetes: { extraArgs: { apiserver: { etcd-servers: x } } }\n`,
      '8:41 Slipway sets --etcd-servers itself => remove it from kubernetes.extraArgs.apiserver',
    ],
    ['a flag with its dashes', `${base}kubernetes: { extraArgs: { kubelet: { --v: "2" } } }\n`, '=> write it without dashes: v'],
    [
      'a flag over two lines',
      `${base}kubernetes: { extraArgs: { kubelet: { v: "a\\nb" } } }\n`,
      'The value of --v holds a line break',
    ],
    [
      "a pool's kubelet flag",
      pool('    kubelet: { extraArgs: { node-labels: a=b } }\n'),
      '11:29 Slipway sets --node-labels itself',
    ],
    [
      'a feature gate in small letters',
      `${base}kubernetes: { featureGates: { someGate: true } }\n`,
      '"someGate" is not the name of a feature gate',
    ],
    [
      'an admission plugin that must stay',
      `${base}kubernetes: { admission: { disable: [NodeRestriction] } }\n`,
      'The admission plugin NodeRestriction cannot be left out',
    ],
    [
      'an issuer without TLS',
      `${base}kubernetes: { oidc: { issuerUrl: "http://x.example", clientId: k } }\n`,
      '"http://x.example" is not the URL of an issuer',
    ],
    [
      'a name with its port',
      `${base}kubernetes: { api: { extraSans: ["k8s.example.com:6443"] } }\n`,
      '"k8s.example.com:6443" is neither a DNS name nor an IP address => without scheme and port',
    ],
    ['more quota than disk', `${base}etcd: { volumeGb: 4 }\n`, 'etcd.quotaMb 8192 does not fit on a volume of 4 GiB'],
    [
      'memory in small units',
      `${base}kubernetes: { kubeReserved: { memory: 128m } }\n`,
      '8:39 kubernetes.kubeReserved.memory is 128m, less than 1Mi',
    ],
    [
      'a recipient with a typo',
      `${base}secrets: { recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q] }\n`,
      '8:25 "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q" is not an age recipient',
    ],
    ['a schedule of six fields', `${base}backup: { schedule: "0 0 3 * * *" }\n`, '8:21 backup.schedule has 6 fields; cron has 5'],
    [
      "a schedule at 25 o'clock",
      `${base}backup: { schedule: "0 25 * * *" }\n`,
      'has "25" as its hour; it must be * or numbers from 0 to 23',
    ],
    [
      'a manifest from the Internet',
      `${base}addons: { manifests: ["https://x.example/a.yaml"] }\n`,
      'https://x.example/a.yaml is a URL',
    ],
    ['a mirror with a password', `${base}assets: { mirror: "https://u:p@x.example" }\n`, 'assets.mirror holds a password'],
    [
      'a machine type on local',
      pool('    machine: { type: t3.large }\n'),
      '11:22 pools[0].machine.type is t3.large; the local provider has one machine type: local',
    ],
    [
      'an unknown machine type on AWS',
      `${awsBase}masters: { machine: { type: local } }\n`,
      'masters.machine.type is local, which is no instance type of AWS',
    ],
    ['a size that t3 does not have', `${awsBase}masters: { machine: { type: t3.4xlarge } }\n`, 'is no instance type of AWS'],
    [
      'more reserved than the machine has',
      `${awsBase}kubernetes: { kubeReserved: { memory: 8Gi } }\n`,
      '8:39 kubeReserved and systemReserved of masters come to 8Gi and 128Mi of memory; t3.large has 8Gi',
    ],
    [
      'a cloud whose bastion lets nobody in',
      awsBase.replace('[203.0.113.0/24]', '[]'),
      'bastion.allowedCidrs is empty: nobody could reach the machines by SSH',
    ],
    ['a zone of another region', awsBase.replace('eu-central-1c', 'eu-west-1c'), 'eu-west-1c is not a zone of eu-central-1'],
    ['a name that AWS refuses', awsBase.replace('demo', 'internal-demo'), 'AWS reserves names that begin as internal-demo does'],
  ]);
});

describe('upgrades that could not be carried out are refused', () => {
  const upgrade = (text: string): string => `${base}upgrade:\n  ${text}\n`;
  const gate = (text: string): string => upgrade(`gates: [{ name: g, ${text} }]`);
  const window = (text: string): string => upgrade(`windows: [{ ${text} }]`);
  table([
    [
      'in place, with nobody away',
      pool('    upgrade: { maxUnavailable: 0 }\n'),
      '11:32 Pool workers is upgraded in place, and maxUnavailable is 0 => set maxUnavailable to 1 or more, or strategy: replace with maxSurge: 1',
    ],
    [
      'neither away nor more',
      pool('    upgrade: { strategy: replace, maxUnavailable: 0%, maxSurge: 0 }\n'),
      '11:51 Pool workers can never be upgraded: maxUnavailable and maxSurge are both 0 => raise one of the two',
    ],
    [
      'more machines, in place',
      pool('    upgrade: { maxSurge: 25% }\n'),
      'error c.yaml:11:26 Pool workers has maxSurge 25%, and is upgraded in place => set strategy: replace, or remove maxSurge',
    ],
    [
      'a strategy that there is not',
      `${base}masters:\n  upgrade: { strategy: inplace }\n`,
      '9:24 masters.upgrade.strategy is "inplace"; it must be one of in-place, replace => did you mean in-place?',
    ],
    [
      'several etcd members at once',
      `${base}etcd:\n  upgrade: { maxUnavailable: 2 }\n`,
      '9:14 Unknown key "maxUnavailable" in etcd.upgrade; known: strategy => maxUnavailable belongs in pools[].upgrade',
    ],
    [
      'force after the end',
      pool('    upgrade: { drain: { timeout: 1m30s, forceAfter: 91s } }\n'),
      '11:53 Pool workers: forceAfter 91s never comes: the drain ends after 1m30s => raise timeout above 91s, or lower forceAfter',
    ],
    [
      'force after the end, on masters',
      `${base}masters:\n  upgrade: { drain: { forceAfter: 1h } }\n`,
      '9:35 The masters: forceAfter 1h never comes: the drain ends after 5m',
    ],
    [
      'a drain without time',
      pool('    upgrade: { drain: { timeout: 0s } }\n'),
      '11:34 Pool workers: a drain of 0s moves nothing',
    ],
    [
      'unmanaged pods otherwise',
      pool('    upgrade: { drain: { unmanagedPods: force } }\n'),
      'upgrade.drain.unmanagedPods is "force"; it must be one of refuse, evict',
    ],
    ['no drain ever', upgrade('maxDrains: 0%'), '9:14 upgrade.maxDrains is 0%: no node could ever drain'],
    [
      'a gate that asks nothing',
      gate('after: wave'),
      '9:11 Gate g asks nothing: it has neither command nor job => add one of the two',
    ],
    ['a gate that asks two', gate('command: "true", job: a.yaml'), '9:39 Gate g has a command and a job'],
    ['a gate without a program', gate('command: [""]'), '9:31 Gate g has a command without a program'],
    [
      'a command of another shape',
      gate('command: 3'),
      '9:31 upgrade.gates[0].command is 3; it must be a line for the shell, or a list of a program and its arguments',
    ],
    ['a Job from elsewhere', gate('job: https://example.com/job.yaml'), '9:27 https://example.com/job.yaml is a URL'],
    ['a gate without time', gate('job: a.yaml, timeout: 0m'), '9:44 Gate g has a timeout of 0m: it would always fail'],
    [
      'a time without a unit: quotes would not mend it',
      upgrade('stableFor: 4'),
      '9:14 upgrade.stableFor is 4; it must be a duration such as 90s, 5m or 1h30m => give it a unit, such as 4s',
    ],
    ['a gate of a month', gate('job: a.yaml, timeout: 600h'), '9:44 Gate g has a timeout of 600h; it must be at most 24h'],
    ['gates of one name', upgrade('gates: [{ name: g, job: a.yaml }, { name: g, job: b.yaml }]'), '9:45 Two gates are named g'],
    ['an unknown key of a gate', gate('job: a.yaml, timeoute: 3m'), /9:35 Unknown key "timeoute".*=> did you mean timeout\?/],
    ['a node that nobody waits for', upgrade('readyWithin: 2s'), '9:16 upgrade.readyWithin is 2s; it must be from 10s to 1h'],
    [
      'a node that is waited for all night',
      upgrade('readyWithin: 8h'),
      '9:16 upgrade.readyWithin is 8h; it must be from 10s to 1h',
    ],
    ['nothing stable for hours', upgrade('stableFor: 2h'), '9:14 upgrade.stableFor is 2h; it must be at most 1h'],
    ['an API without time', upgrade('apiP99: 0ms'), '9:11 upgrade.apiP99 is 0ms: no API is that fast'],
    [
      'a window that begins never',
      window('cron: "0 2 31 2 *", duration: 4h'),
      '9:21 The cron of this window names a day that never comes',
    ],
    [
      'a window without a minute',
      window('cron: "60 2 * * sat", duration: 4h'),
      '9:21 The cron of this window has "60" as its minute; it must be * or numbers from 0 to 59, with - , /',
    ],
    ['a short window', window('cron: "@daily", duration: 59s'), '9:41 A window of 59s is shorter than a minute => such as 4h'],
    ['a window without end', window('cron: "@daily", duration: 800h'), 'A window of 800h is longer than a month'],
    [
      'a time zone that there is not',
      window('cron: "@daily", duration: 1h, timezone: Mars/Olympus'),
      '9:55 There is no time zone "Mars/Olympus" => take a name of the IANA database',
    ],
    ['a window without duration', window('cron: "@daily"'), 'upgrade.windows[0].duration is missing'],
    ['another way outside', upgrade('outside: skip'), '9:12 upgrade.outside is "skip"; it must be one of refuse, wait'],
  ]);
  test('and what can be is not', () => {
    const text = `${base}masters: { upgrade: { strategy: replace, drain: { timeout: 1m, forceAfter: 1m } } }
etcd: { upgrade: { strategy: in-place } }
pools:
  - name: workers
    count: 3
    upgrade: { strategy: replace, maxUnavailable: 0, maxSurge: 25%, drain: { unmanagedPods: evict } }
upgrade:
  maxDrains: 5
  canary: false
  stableFor: 0s
  apiP99: 300ms
  gates: [{ name: a, command: "true" }, { name: b, command: [sh, -c, ""], after: wave, timeout: 10s }]
  windows: [{ cron: "0 22 * jan-mar,12 mon-fri", duration: 7h30m, timezone: America/New_York }]
  outside: wait
`;
    expect(findingsOf(text)).toEqual([]);
  });
});

test('all mistakes are said at once, those of shape and those of meaning, in the order of the file', () => {
  const found = findingsOf(
    `${base}etcd: { count: many }\nnetwork: { pods: 172.30.0.0/16 }\npools:\n  - name: UPPER\n    count: 1\n    zones: [z]\nx: 1\n`,
  );
  expect(found.map((line) => line.split(' ')[1])).toEqual([
    'c.yaml:8:16',
    'c.yaml:9:18',
    'c.yaml:11:11',
    'c.yaml:13:13',
    'c.yaml:14:1',
  ]);
});

test('a private key in the wrong place is refused, and never repeated', () => {
  const key = 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX';
  for (const place of [
    `secrets: { recipients: [${key}] }`,
    `secrets: { recipients: ${key} }`,
    `name2: ${key}`,
    `etcd: { count: ${key} }`,
    `network: { plugin: ${key} }`,
  ]) {
    const found = findingsOf(`${base}${place}\n`).join('\n');
    expect(found).not.toBe('');
    expect(found).not.toContain('GFPYYSJZ');
  }
});

test('thousands of errors end after fifty', () => {
  const found = findingsOf(base + Array.from({ length: 1000 }, (_, i) => `k${i}: 1\n`).join(''));
  expect(found).toHaveLength(51);
  expect(found.at(-1)).toBe('error c.yaml and more: correct these first');
});

test('a hostile megabyte of keys or brackets is refused within seconds', () => {
  for (const text of [Array.from({ length: 100_000 }, (_, i) => `k${i}:\n`).join(''), '{a: '.repeat(200_000)]) {
    const start = process.cpuUsage();
    expect(findingsOf(text).length).toBeGreaterThan(0);
    // Of the processor: how busy the machine is besides is another matter.
    expect(process.cpuUsage(start).user).toBeLessThan(15_000_000);
  }
});
