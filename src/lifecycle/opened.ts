import type { Versions } from '../assets/catalogue.ts';
import type { Cluster } from '../config/schema.ts';
import type { Layer, Secrets } from '../plan/resource.ts';
import type { Provider } from '../provider.ts';
import type { Emit } from '../run/events.ts';
import type { Store } from '../store/store.ts';
import type { ClusterDesign } from './design.ts';

/** What every command starts with: the file as read, the place where it runs, and the ports to the world. Made by cli/open.ts. */
export interface Opened {
  readonly cluster: Cluster;
  readonly file: string;
  /** SHA-256 of the spec after defaults. */
  readonly specDigest: string;
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
  /** `user@host pid`, for the lock. */
  readonly holder: string;
}
export interface LayersInput {
  readonly opened: Opened;
  readonly store: Store | undefined;
  readonly design: ClusterDesign;
  /** Of the lock held; 0 without one. */
  readonly generation: number;
}
export interface LayersOutput {
  readonly layers: readonly Layer[];
  readonly secrets: Secrets;
}
/** Absolute paths. */
export interface Directories {
  readonly config: string;
  readonly state: string;
  readonly cache: string;
}
export interface AssetPort {
  /** Makes sure that everything those versions need lies in the cache. */
  ensure(versions: Versions, signal: AbortSignal): Promise<void>;
  file(path: string): string;
}
