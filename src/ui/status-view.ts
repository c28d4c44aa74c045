import type {
  CertificateStatus,
  EtcdMemberStatus,
  EtcdStatus,
  MachineStatus,
  NodeStatus,
  Status,
  ZoneStatus,
} from '../health/status.ts';
import { findingText } from './findings-view.ts';
import type { Look, Style } from './style.ts';
import { type Column, table } from './table.ts';
import { bytes, duration, plural, sanitize, timestamp } from './text.ts';
import type { View } from './view.ts';

/** How a cluster is: one screen for people, everything for programs. */
export const statusView: View<Status> = {
  human: (status, look) => {
    if (!status.exists) return `${look.style.bold(status.cluster)}: does not exist yet. Next: cluster up`;
    const sections: readonly (readonly [string, string])[] = [
      ['Zones', table(zoneColumns, status.zones, look)],
      ['Machines', table(machineColumns, status.machines, look)],
      ['Nodes', table(nodeColumns, status.nodes, look)],
      ...status.etcd.map((etcd): readonly [string, string] => [
        etcdTitle(etcd, look.style),
        table(etcdColumns, etcd.members, look),
      ]),
      ['Certificates', certificatesText(status, look)],
      ['Drift', driftText(status, look)],
      [
        'Findings',
        status.findings
          .filter(({ severity }) => severity !== 'ok')
          .map((finding) => findingText(finding, look))
          .join('\n'),
      ],
    ];
    const body = sections.filter(([, text]) => text !== '').map(([title, text]) => `${look.style.bold(title)}\n${text}`);
    return [headText(status, look), ...body].join('\n\n');
  },
};

const headText = (status: Status, { style }: Look): string => {
  const { api, versions } = status;
  const version = versions.inForce ?? 'unknown';
  const wanted =
    versions.inForce !== undefined && versions.inForce !== versions.wanted ? `, cluster.yaml asks for ${versions.wanted}` : '';
  const lines = [
    `${style.bold(status.cluster)}  Kubernetes ${version}${wanted}  ${status.provider}  ${timestamp(status.at)} UTC`,
  ];
  if (api) {
    const paint = api.state === 'ready' ? style.green : style.red;
    lines.push(`API ${api.url} ${paint(api.state)}${api.why ? `: ${sanitize(api.why)}` : ''}`);
  }
  // One version of everything is what one expects; only more than one is worth a line.
  const byComponent = Map.groupBy(versions.running, ({ component }) => component);
  for (const [component, running] of byComponent)
    if (running.length > 1)
      lines.push(`${component}: ${running.map(({ version, on }) => `${version} on ${on.join(', ')}`).join('; ')}`);
  return [...lines, ...versions.skew.map((text) => style.red(`skew: ${text}`))].join('\n');
};

const count = ({ up, of }: { readonly up: number; readonly of: number }): string => `${up}/${of}`;
const zoneColumns: readonly Column<ZoneStatus>[] = [
  { title: 'ZONE', text: (zone) => zone.name },
  { title: 'MACHINES', text: (zone) => count(zone.machines) },
  { title: 'NODES READY', text: (zone) => count(zone.nodes) },
];

const machineColumns: readonly Column<MachineStatus>[] = [
  { title: 'NAME', text: (machine) => machine.name },
  { title: 'ROLE', text: (machine) => machine.role },
  { title: 'ZONE', text: (machine) => machine.zone },
  { title: 'ADDRESS', text: (machine) => machine.address },
  {
    title: 'STATE',
    text: (machine) => machine.state,
    paint: (machine, { style }) =>
      ({ running: style.green, stopped: style.red, absent: style.red, unknown: style.magenta })[machine.state],
  },
  { title: 'NOTES', text: (machine) => sanitize(machine.notes.join('; ')), flexible: true },
];

const readyText = (node: NodeStatus): string => (node.ready === 'unknown' ? 'unknown' : node.ready ? 'Ready' : 'NotReady');
const nodeColumns: readonly Column<NodeStatus>[] = [
  { title: 'NAME', text: (node) => node.name },
  { title: 'ROLE', text: (node) => (node.pool === undefined ? node.role : `${node.role} (${node.pool})`) },
  { title: 'ZONE', text: (node) => node.zone },
  {
    title: 'STATE',
    text: (node) => `${readyText(node)}${node.cordoned ? ', cordoned' : ''}`,
    paint: (node, { style }) => (node.ready === true ? (node.cordoned ? style.yellow : style.green) : style.red),
  },
  { title: 'KUBELET', text: (node) => node.kubelet },
  { title: 'NOTES', text: (node) => sanitize(node.notes.join('; ')), flexible: true },
];

const etcdTitle = ({ cluster, quorum, members }: EtcdStatus, style: Style): string => {
  const paint = { healthy: style.green, 'at-risk': style.yellow, lost: style.red, unknown: style.magenta }[quorum];
  return `etcd ${cluster}: ${plural(members.length, 'member')}, quorum ${paint(quorum)}`;
};
const etcdColumns: readonly Column<EtcdMemberStatus>[] = [
  { title: 'MEMBER', text: (member) => member.name },
  {
    title: 'STATE',
    text: (member) => (member.leader ? `${member.state}, leader` : member.state),
    paint: (member, { style }) =>
      ({ healthy: style.green, learner: style.yellow, unhealthy: style.red, unknown: style.magenta })[member.state],
  },
  { title: 'VERSION', text: (member) => member.version ?? '-' },
  {
    title: 'DATABASE',
    text: ({ dbBytes, quotaBytes }) =>
      dbBytes === undefined ? '-' : quotaBytes === undefined ? bytes(dbBytes) : `${bytes(dbBytes)} of ${bytes(quotaBytes)}`,
  },
  {
    title: 'ALARMS',
    text: (member) => [...member.alarms, ...(member.why ? [sanitize(member.why)] : [])].join('; ') || '-',
    paint: (member, { style }) => (member.alarms.length > 0 ? style.red : undefined),
    flexible: true,
  },
];

/** All that is not fresh, and the next to expire: fifty fresh ones are one line. */
const certificatesText = ({ certificates, at }: Status, look: Look): string => {
  if (certificates.length === 0) return '';
  const known = certificates.flatMap(({ name, notAfter }) => (notAfter === undefined ? [] : [{ name, notAfter }]));
  const next = known.toSorted((a, b) => a.notAfter - b.notAfter)[0];
  const fresh = certificates.filter(({ state }) => state === 'fresh').length;
  const first = next ? `; first to expire: ${next.name}, ${expiry(next.notAfter, at)}` : '';
  const rest = certificates.filter(({ state }) => state !== 'fresh');
  const columns: readonly Column<CertificateStatus>[] = [
    { title: 'NAME', text: ({ name }) => name },
    { title: 'AUTHORITY', text: ({ authority }) => authority },
    {
      title: 'STATE',
      text: ({ state }) => state,
      paint: ({ state }, { style }) =>
        ({
          fresh: style.green,
          due: style.yellow,
          expired: style.red,
          unfit: style.red,
          missing: style.red,
          unknown: style.magenta,
        })[state],
    },
    { title: 'EXPIRES', text: ({ notAfter }) => (notAfter === undefined ? '-' : expiry(notAfter, at)) },
  ];
  return [`${fresh} of ${certificates.length} fresh${first}`, table(columns, rest, look)].filter(Boolean).join('\n');
};
const expiry = (notAfter: number, now: number): string =>
  notAfter < now ? `expired ${duration(now - notAfter)} ago` : `in ${duration(notAfter - now)}`;

/** A half-made cluster differs in hundreds of things; the plan lists them all. */
const shownDifferences = 20;
const driftText = ({ drift }: Status, { style, verbose = false }: Look): string => {
  const all = [
    ...drift.now.map((text) => `${style.yellow('~')} ${text}  ${style.dim('cluster up')}`),
    ...drift.left.map((text) => `${style.yellow('~')} ${text}  ${style.dim('left to upgrade')}`),
    ...drift.unknown.map((text) => `${style.magenta('?')} ${text}  ${style.dim('could not be compared')}`),
  ];
  if (all.length === 0) return `${style.green('✔')} none`;
  const lines = verbose ? all : all.slice(0, shownDifferences);
  const rest = all.length - lines.length;
  return [...lines, ...(rest > 0 ? [style.dim(`and ${rest} more: cluster plan lists them all`)] : [])].join('\n');
};
