import type { Asset } from '../assets/catalogue.ts';
import type { Finding } from '../config/finding.ts';
import type { ManifestObject } from '../config/manifest-object.ts';
import type { Manifest } from '../config/manifests.ts';
import type { Cluster } from '../config/schema.ts';
import type { HostsClients } from '../host/host.ts';
import type { KubeClients } from '../kube/clients.ts';
import type { Layer, Secrets } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
import type { RunCommand } from '../rollout/gate-command.ts';
import type { Emit } from '../run/events.ts';
import type { SealStream } from '../store/sealing.ts';
import type { Store } from '../store/store.ts';
import type { ClusterDesign } from './design.ts';
import type { ClusterRecord } from './identity.ts';

/** What every command starts with: the file as read, the place where it runs, and the ports to the world. Made by cli/open.ts. */
export interface Opened {
  readonly cluster: Cluster;
  readonly file: string;
  /** What lies there. */
  readonly text: string;
  /** What addons.manifests hold: Secrets in plain text among them. */
  readonly manifests: readonly Manifest[];
  /** The Jobs of upgrade.gates, by the name of their gate. */
  readonly gateJobs: ReadonlyMap<string, ManifestObject>;
  /** Runs the commands of gates. */
  readonly runCommand: RunCommand;
  /** What the CLI was started with: for the gates' commands. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** SHA-256 of the spec after defaults, manifests included. */
  readonly specDigest: string;
  /** Warnings of the file. */
  readonly findings: readonly Finding[];
  readonly provider: Provider;
  readonly tool: string;
  readonly directories: Directories;
  readonly assets: AssetPort;
  readonly emit: Emit;
  readonly signal: AbortSignal;
  /** Connects a design to the world: the real layers, or a test's. */
  layers(input: LayersInput): Promise<LayersOutput>;
  now(): number;
  newUid(): string;
  randomBytes(count: number): Uint8Array;
  /** For the lock and the journal: who, where, and what was typed. */
  readonly holder: string;
  readonly host: string;
  readonly commandLine: string;
}
export interface LayersInput {
  readonly opened: Opened;
  readonly store: Store | undefined;
  readonly record: ClusterRecord | undefined;
  /** As it is by now. */
  readonly design: () => ClusterDesign;
  /** Of the lock held; 0 without one. */
  readonly generation: number;
}
export interface LayersOutput {
  readonly layers: readonly Layer[];
  readonly secrets: Secrets;
  readonly seal: SealStream;
  readonly reach: Reach;
}
/** Usable once the infrastructure has been observed. */
export interface Reach {
  readonly hosts: () => HostsClients;
  readonly kube: () => KubeClients;
}
/** Absolute paths. */
export interface Directories {
  readonly config: string;
  readonly state: string;
  readonly cache: string;
}
export interface AssetPort {
  /** Makes sure that these lie in the cache: from there, a mirror, upstream, or built. */
  ensure(assets: readonly Asset[], signal: AbortSignal, options?: { readonly verify?: boolean }): Promise<void>;
  file(path: string): string;
}
