import type { Sealing } from '../store/sealing.ts';

/** What types of the `secrets` layer talk through. */
export interface SecretsClients {
  readonly sealing: Sealing;
  /** The cluster's identity: the key of keyed digests. */
  readonly uid: string;
  /** Milliseconds since the epoch. */
  now(): number;
}
