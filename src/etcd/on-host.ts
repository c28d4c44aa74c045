import { z } from 'zod';
import { type EtcdCluster, etcdClusters, etcdHome, etcdUnit } from '../components/etcd.ts';
import { certFile, keyFile, trustFile } from '../components/pki.ts';
import { UnreachableError, UserError } from '../errors.ts';
import type { Host, HostsClients } from '../host/host.ts';
import { quote } from '../host/quote.ts';
import { parseJson } from '../plan/canonical.ts';
import { gatewayError, type MemberView, parseView } from './gateway.ts';
import { memberHosts } from './probe.ts';

export const peerUrlOf = (cluster: EtcdCluster, address: string): string => `https://${address}:${etcdClusters[cluster].peer}`;

/** What lies on a member's volume. */
export interface Volume {
  /** Only a mounted volume may ever be written to: the directory below the mount point must never become an empty cluster. */
  readonly mounted: boolean;
  /** Why it is not, where the host knows. */
  readonly why?: string;
  /** A write-ahead log is there: this member has started once. */
  readonly data: boolean;
  readonly marker: 'none' | 'ours' | 'foreign';
  readonly bootstrap: Bootstrap | undefined;
}
/** bootstrap.env: etcd reads its flags from ETCD_ variables; it ignores these three once it has data. */
export interface Bootstrap {
  readonly state: 'new' | 'existing';
  readonly token: string;
  /** name → peer URL */
  readonly members: ReadonlyMap<string, string>;
}

/** One etcd cluster's member as reached by SSH on its host. */
export interface MemberHost {
  readonly name: string;
  readonly peerUrl: string;
  /** `waitMs`: how long a volume that is only now being mounted is waited for. */
  volume(signal: AbortSignal, waitMs?: number): Promise<Volume>;
  /** Undefined: the member gives no answer. `waitMs`: patience for a host that cannot be reached, which throws UnreachableError. */
  view(signal: AbortSignal, waitMs?: number): Promise<MemberView | undefined>;
  /** One call of etcd's own API on this member. Throws EtcdRefusal when etcd says no. */
  call(path: string, body: object, signal: AbortSignal): Promise<unknown>;
  writeBootstrap(bootstrap: Bootstrap, signal: AbortSignal): Promise<void>;
  /** Writes the marker and starts the unit without waiting for it. */
  startMarked(signal: AbortSignal): Promise<void>;
  /** `3.6`: the version that all members together have risen to, as this one knows it; empty: it does not say. */
  clusterVersion(signal: AbortSignal): Promise<string>;
  /** Waits on the host, in one round trip, until the member knows a leader. Throws with the unit's last lines. */
  waitForLeader(timeoutMs: number, signal: AbortSignal): Promise<MemberView>;
  stop(signal: AbortSignal): Promise<void>;
  /** Stops the unit and moves aside the data of a member that its cluster has removed. */
  setDataAside(signal: AbortSignal): Promise<void>;
  lastLines(signal: AbortSignal): Promise<readonly string[]>;
}

interface ExecOptions {
  readonly stdin?: string;
  readonly timeoutMs?: number;
  /** Patience for the connection; without it the hosts' own, which is for machines in the making. */
  readonly waitMs?: number;
}

/** The data on its volume is of a member that its cluster has removed: etcd says so in its log and stops. */
export class RemovedMember extends UserError {}
export const removedMember = (where: string, cluster: EtcdCluster): RemovedMember =>
  new RemovedMember({
    what: `its data is of a member that etcd ${cluster} has removed`,
    where,
    next: 'run the same command again: it joins anew',
  });

/** etcd answered and refused: its own words. */
export class EtcdRefusal extends Error {
  override readonly name = 'EtcdRefusal';
}

/** Every designed member of one cluster, by host name. Connects lazily. */
export const memberHostsOf = (clients: HostsClients, cluster: EtcdCluster): ReadonlyMap<string, MemberHost> =>
  new Map(memberHosts(clients, cluster).map((name) => [name, memberHost(clients, cluster, name)]));

/** Machines that are no longer designed, and may still run a member. */
export const formerHosts = ({ hosts, machines }: HostsClients): readonly string[] =>
  [...hosts.access().hosts.keys()].filter((name) => !machines.has(name));

function addressOfHost({ hosts, machines }: HostsClients, name: string): string {
  const machine = machines.get(name);
  if (machine) return machine.identity.NODE_IP ?? '';
  const access = hosts.access().hosts.get(name);
  if (access?.state === 'reachable') return access.endpoint.address;
  throw new UnreachableError({ what: access ? access.why : 'there is no such machine', where: name });
}

export function memberHost(clients: HostsClients, cluster: EtcdCluster, name: string): MemberHost {
  const address = addressOfHost(clients, name);
  const { client } = etcdClusters[cluster];
  const unit = etcdUnit(cluster);
  const directory = etcdHome(cluster);
  const marker = `${clients.uid} ${name}`;
  const curl = (seconds: number): string => `curl -sS --max-time ${seconds} ${credentials}`;
  const url = `https://${address}:${client}/v3`;
  const post = (path: string, body: string) => `-d ${quote(body)} ${url}/${path}`;
  const viewCommand =
    `${curl(3)} ${post('cluster/member/list', '{"linearizable":false}')} -w '\\n' ` +
    `--next ${curl(3).slice('curl '.length)} ${post('maintenance/status', '{}')} -w '\\n'`;
  const journal = `journalctl -u ${unit} -n 12 --no-pager -o cat 2>/dev/null`;

  const exec = async (command: string, signal: AbortSignal, { waitMs, ...options }: ExecOptions = {}) => {
    const host: Host = await clients.hosts.get(name, { signal, ...(waitMs !== undefined && { waitMs }) });
    return host.exec(command, { signal, timeoutMs: 20_000, ...options });
  };
  const run = async (command: string, signal: AbortSignal, options: ExecOptions = {}) => {
    const result = await exec(command, signal, options);
    if (result.code === 0) return result.stdout;
    throw new UserError({
      what: `a command on the host failed (exit ${result.code})`,
      where: `${name}, etcd ${cluster}`,
      why: (result.stderr || result.stdout).trim(),
      next: `cluster logs ${name}`,
    });
  };
  const lastLines = async (signal: AbortSignal) => readableLog((await exec(journal, signal)).stdout);

  return {
    name,
    peerUrl: peerUrlOf(cluster, address),
    lastLines,
    async volume(signal, waitMs = 0) {
      const command = `${mountingCommand(waitMs)}; ${volumeCommand(directory)}`;
      return parseVolume(await run(command, signal, { timeoutMs: waitMs + 20_000 }), marker);
    },
    async view(signal, waitMs) {
      return parseTwoLines((await exec(viewCommand, signal, waitMs === undefined ? {} : { waitMs })).stdout);
    },
    async call(path, body, signal) {
      const { code, stdout, stderr } = await exec(`${curl(5)} ${post(path, JSON.stringify(body))}`, signal);
      if (code !== 0)
        throw new UnreachableError({ what: 'etcd gives no answer', where: `${name}, etcd ${cluster}`, why: stderr.trim() });
      const refused = gatewayError(stdout);
      if (refused !== undefined) throw new EtcdRefusal(refused);
      return parseJson(stdout);
    },
    async clusterVersion(signal) {
      const { stdout } = await exec(`${curl(3)} https://${address}:${client}/version`, signal);
      const told = /"etcdcluster":"(\d+\.\d+)/.exec(stdout);
      return told?.[1] ?? '';
    },
    async writeBootstrap(bootstrap, signal) {
      // Without a write-ahead log whatever else lies there is the rest of a start that failed: it would confuse the next. A start that a
      // killed run left behind may be writing just now, so it is stopped before anybody looks.
      const command = `set -e; cd ${directory}; systemctl stop ${unit} 2>/dev/null || true; set -- $(ls -d member/wal/*.wal */member/wal/*.wal 2>/dev/null || true)
        [ $# -gt 0 ] || rm -rf member/snap member/wal */member/snap */member/wal
        umask 077; cat > bootstrap.env.new; sync bootstrap.env.new; mv bootstrap.env.new bootstrap.env`;
      await run(command, signal, { stdin: renderBootstrap(bootstrap), timeoutMs: 40_000 });
    },
    async startMarked(signal) {
      const command = `set -e; cd ${directory}; umask 077; printf '%s\\n' ${quote(marker)} > .slipway-member.new
        sync .slipway-member.new; mv .slipway-member.new .slipway-member
        systemctl reset-failed ${unit} 2>/dev/null || true; systemctl start --no-block ${unit}`;
      await run(command, signal);
    },
    async waitForLeader(timeoutMs, signal) {
      // Status answers before there is a leader; only its digits tell. From then on bootstrap.env must not make a new cluster:
      // a member whose data is deleted by hand would come back with an empty log under an ID that has voted.
      const spend = `sed -i 's/^ETCD_INITIAL_CLUSTER_STATE=new$/ETCD_INITIAL_CLUSTER_STATE=existing/' ${directory}/bootstrap.env`;
      const removed = `journalctl -u ${unit} --since @$start -n 1000 --no-pager -o cat 2>/dev/null | grep -q 'permanently removed'`;
      const command = `start=$(date +%s); end=$(( start + ${Math.ceil(timeoutMs / 1000)} )); n=0; while :; do out=$(${viewCommand} 2>&1)
        case "$out" in *'"leader":"'[1-9]*) ${spend}; printf '%s\\n' "$out"; exit 0;; esac
        n=$(( n + 1 )); if [ $(( n % 10 )) = 0 ] && ${removed}; then exit 76; fi
        [ $(date +%s) -lt $end ] || break; sleep 0.15; done; ${journal} >&2; exit 75`;
      const until = performance.now() + timeoutMs;
      let stderr = '';
      do {
        const ended = await exec(command, signal, { timeoutMs: timeoutMs + 10_000 });
        const view = parseTwoLines(ended.stdout);
        if (view) return view;
        if (ended.code === 76) throw removedMember(name, cluster);
        // The status may know of a leader a moment before the member list answers.
        stderr = ended.stderr;
      } while (performance.now() < until);
      throw new UserError({
        what: `its member of etcd ${cluster} did not find a leader within ${Math.round(timeoutMs / 1000)} s`,
        where: name,
        why: readableLog(stderr).join('\n') || 'the journal is empty',
        next: `cluster logs ${name}, then run the same command again`,
      });
    },
    async stop(signal) {
      await run(`systemctl stop ${unit}`, signal, { timeoutMs: 40_000 });
    },
    async setDataAside(signal) {
      // Kept once, for whoever must look: a removed member's data is of no use to the cluster, but it is not ours to shred.
      const command = `set -e; cd ${directory}; systemctl stop ${unit} 2>/dev/null || true
        for d in member */member; do [ -d "$d" ] || continue; rm -rf removed-member; mv "$d" removed-member; done; rm -f .slipway-member`;
      await run(command, signal, { timeoutMs: 40_000 });
    },
  };
}

/** The member's own certificate serves and is a client's (hard part 10), and the unit does not start without it: so it is there. */
const credentials = `--cacert ${trustFile('etcd')} --cert ${certFile('etcd-server')} --key ${keyFile('etcd-server')}`;

/** On a cloud a unit mounts the volumes; one that is attached only now takes a moment. What it says is why they are not there. */
const mountingCommand = (waitMs: number): string => `n=0; while [ $n -lt ${Math.ceil(waitMs / 200)} ] &&
    [ "$(systemctl is-active slipway-volumes.service 2>/dev/null)" = activating ]; do sleep 0.2; n=$((n + 1)); done
  journalctl -u slipway-volumes.service -n 20 --no-pager -o cat 2>/dev/null | sed -n 's/^slipway-volumes: /why /p' | tail -n 1`;

const volumeCommand = (directory: string): string => `d=${directory}
  if mountpoint -q $d; then echo mounted yes; else echo mounted no; fi
  set -- $(ls -d $d/member/wal/*.wal $d/*/member/wal/*.wal 2>/dev/null); if [ $# -gt 0 ]; then echo data yes; else echo data no; fi
  if [ -f $d/.slipway-member ]; then printf 'marker %s\\n' "$(cat $d/.slipway-member)"; fi
  if [ -f $d/bootstrap.env ]; then cat $d/bootstrap.env; fi`;

export function parseVolume(text: string, ours: string): Volume {
  const lines = text.split('\n');
  const marker = lines.find((line) => line.startsWith('marker '))?.slice('marker '.length);
  const mounted = lines.includes('mounted yes');
  const why = lines.find((line) => line.startsWith('why '))?.slice('why '.length);
  return {
    mounted,
    ...(!mounted && why !== undefined && { why }),
    data: lines.includes('data yes'),
    marker: marker === undefined ? 'none' : marker.trim() === ours ? 'ours' : 'foreign',
    bootstrap: parseBootstrap(text),
  };
}

export const renderBootstrap = ({ state, token, members }: Bootstrap): string =>
  [
    `ETCD_INITIAL_CLUSTER=${[...members].map(([name, url]) => `${name}=${url}`).join(',')}`,
    `ETCD_INITIAL_CLUSTER_STATE=${state}`,
    `ETCD_INITIAL_CLUSTER_TOKEN=${token}`,
    '',
  ].join('\n');

export function parseBootstrap(text: string): Bootstrap | undefined {
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1];
  const state = value('ETCD_INITIAL_CLUSTER_STATE');
  const token = value('ETCD_INITIAL_CLUSTER_TOKEN');
  const members = value('ETCD_INITIAL_CLUSTER');
  if ((state !== 'new' && state !== 'existing') || token === undefined || members === undefined) return undefined;
  const pairs = members.split(',').map((pair): [string, string] => [pair.split('=')[0] ?? '', pair.slice(pair.indexOf('=') + 1)]);
  return { state, token, members: new Map(pairs) };
}

/** etcd logs JSON: time, message and error are what a person needs of it. */
export const readableLog = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const entry = logSchema.safeParse(parseJson(line));
      if (!entry.success) return line.slice(0, 400);
      const { ts, level, msg, error } = entry.data;
      return `${ts} ${level} ${msg}${error ? `: ${error}` : ''}`.slice(0, 400);
    });
const logSchema = z.object({ ts: z.string(), level: z.string(), msg: z.string(), error: z.string().optional() });

/** One line an answer. Either may be missing (a learner lists no members, a slow one nothing), so they are told apart by what they say. */
export function parseTwoLines(stdout: string): MemberView | undefined {
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  const members = lines.find((line) => line.includes('"members":')) ?? null;
  const status = lines.find((line) => line.includes('"raftTerm":')) ?? null;
  return parseView(`{"members":${members},"status":${status}}`);
}
