import type { Duplex, Readable, Writable } from 'node:stream';
import type { Bundle } from '../components/bundle.ts';

/** How machines are reached: data only, made by the provider from the topology and what it saw. */
export interface Access {
  /** The one machine that can be reached from here; everything else goes through it. Undefined while it does not exist. */
  readonly bastion: Endpoint | undefined;
  /** Every host that exists, or why it cannot be reached. */
  readonly hosts: ReadonlyMap<string, HostAccess>;
  /** How the API is reached. Undefined while the balancer does not exist. */
  readonly api: ApiAccess | undefined;
}
export interface ApiAccess {
  /** `https://host:port`: as seen from here or, `via` the bastion, from there, where its name is resolved too. */
  readonly server: string;
  /** The name that the server's certificate must carry. */
  readonly tlsServerName: string;
  readonly via: 'direct' | 'bastion';
}
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  /** Pinned: `ssh-ed25519 AAAA...`. Any other key stops the command. */
  readonly hostKey: string;
}
export type HostAccess =
  | { readonly state: 'reachable'; readonly endpoint: Endpoint }
  /** It exists, and is stopped or in the making: nothing about it can be known. */
  | { readonly state: 'unreachable'; readonly why: string };

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One host's connection, multiplexed: many commands at once over one SSH connection through the bastion. */
export interface Host {
  readonly name: string;
  /** Runs `sh -c command`, for at most 60 s unless told; stdin is sent and closed. Never puts secrets into argv: those go through stdin. Throws UnreachableError when the connection is lost. */
  exec(
    command: string,
    options?: { readonly stdin?: Uint8Array | string | Readable; readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<ExecResult>;
  /** A shell (or one command) wired to these streams, with a terminal where stdin is one. Returns the remote exit code. */
  interactive(command: string | undefined, terminal: Terminal, signal: AbortSignal): Promise<number>;
  /** Streams (for `logs -f`, tunnels). */
  stream(command: string, signal: AbortSignal): Promise<NodeJS.ReadableStream>;
}

/** The person's end of an interactive session: process has this shape. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly stdout: Writable & { readonly columns?: number; readonly rows?: number };
  readonly stderr: Writable;
}

export interface Hosts {
  /** Live: what exists now, by the provider's access. */
  access(): Access;
  /** Connects on first use, waits (bounded) for sshd of a machine that was just made. */
  get(name: string, options?: { readonly signal?: AbortSignal; readonly waitMs?: number }): Promise<Host>;
  /**
   * A TCP connection that the bastion opens, over its one SSH connection; it resolves the name. As `net.connect`: emits `connect`, or `error` with an
   * UnreachableError. It tries once: who may wait, asks again.
   */
  tunnel(host: string, port: number): Duplex;
  close(): Promise<void>;
}

/** What one SSH round trip says of a host: the answer of templates/host/observe. */
export interface HostFacts {
  readonly bootId: string;
  /** Milliseconds since the epoch, by the host's clock. */
  readonly clockMs: number;
  /** Highest lock generation that converge has accepted. */
  readonly generation: number;
  /** Undefined: converge never ran here. */
  readonly bundle: string | undefined;
  /** When the operating system's packages were upgraded last, and since when that was asked for then. Undefined: Slipway never did. */
  readonly packages?: { readonly since: string; readonly asked: string } | undefined;
  /** Why a reboot is due that an upgrade of packages has left. */
  readonly reboot?: string | undefined;
  readonly identity: Readonly<Record<string, string>>;
  /** Every file of the last applied manifest; `undefined`: it should be there and is not. Sha256 in hex, mode as '0644', owner as 'root'. */
  readonly files: ReadonlyMap<string, { readonly sha256: string; readonly mode: string } | undefined>;
  readonly units: ReadonlyMap<string, UnitFacts>;
  /** Paths under /opt/slipway that are there. */
  readonly assets: ReadonlySet<string>;
  /** Every certificate of the last applied manifest. */
  readonly certificates: ReadonlyMap<string, { readonly pem: string; readonly keyFits: boolean } | undefined>;
  readonly probes: ReadonlyMap<string, { readonly code: number; readonly stdout: string }>;
}
export interface UnitFacts {
  /** systemd's ActiveState: active, activating, inactive, failed. */
  readonly active: string;
  readonly enabled: boolean;
  /** It runs with older content than lies on the disk (hard part 8). */
  readonly stale: boolean;
  /** SHA-256 of the unit file on disk; empty: there is none. */
  readonly sha256: string;
  /** That is the unit of the last applied manifest: nothing was held back, and nobody has changed it by hand. */
  readonly asApplied: boolean;
  /** What it reads only at start, by the last applied manifest. */
  readonly inputs: readonly string[];
  /** `up` never restarts it while it serves. */
  readonly serving: boolean;
  /** It does not run because this path of its ConditionPathExists is missing (an etcd volume's marker): whoever makes that starts it. */
  readonly waitsFor: string | undefined;
}

export interface DesignedHost {
  readonly bundle: Bundle;
  readonly identity: Readonly<Record<string, string>>;
  /** While an upgrade is under way: what its like holds that is at another of the upgrade's states. */
  readonly others?: readonly Bundle[];
}

/** The hosts layer's clients: what types of host, pki and etcd talk through. */
export interface HostsClients {
  readonly hosts: Hosts;
  /** Machines of the design, by name, with what they should hold. */
  readonly machines: ReadonlyMap<string, DesignedHost>;
  readonly uid: string;
  /** The lock's generation: converge refuses a lower one than it has seen. 0 outside of a lock. */
  readonly generation: number;
  /** Small public records of the cluster in the store (`etcd/main/initialised`). */
  readonly records: { get(key: string): Promise<string | undefined>; put(key: string, value: string): Promise<void> };
  readonly delivery: 'mounted' | 'pushed' | 'fetched';
  /** For delivery 'fetched': digest of each asset that the store has, by path. */
  storedAssets(): Promise<ReadonlyMap<string, string>>;
  /** Local file of an asset, for delivery 'pushed'. */
  assetFile(path: string): string;
  now(): number;
}
