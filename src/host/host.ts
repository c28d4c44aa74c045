import type { Amount } from '../plan/resource.ts';

/** How machines are reached: data only, made by the provider from the topology and what it saw. */
export interface Access {
  /** The one machine that can be reached from here; everything else goes through it. Undefined while it does not exist. */
  readonly bastion: Endpoint | undefined;
  /** Every host that exists, or why it cannot be reached. */
  readonly hosts: ReadonlyMap<string, HostAccess>;
  /** The API as seen from here. Undefined while the balancer does not exist. */
  readonly api: { readonly server: string; readonly tlsServerName: string } | undefined;
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
  /** Runs `sh -c command`; stdin is sent and closed. Never puts secrets into argv: those go through stdin. Throws UnreachableError when the connection is lost. */
  exec(command: string, options?: { readonly stdin?: Uint8Array | string; readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<ExecResult>;
  /** Streams (for `logs -f`, tunnels). */
  stream(command: string, signal: AbortSignal): Promise<NodeJS.ReadableStream>;
}

export interface Hosts {
  /** Live: what exists now, by the provider's access. */
  access(): Access;
  /** Connects on first use, waits (bounded) for sshd of a machine that was just made. */
  get(name: string, options?: { readonly signal?: AbortSignal; readonly waitMs?: number }): Promise<Host>;
  close(): Promise<void>;
}
export type Progress = (message: string, amount?: Amount) => void;
