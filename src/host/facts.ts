import type { HostFacts } from './host.ts';

/** One host as observing found it. */
export type Seen =
  | { readonly state: 'absent' }
  | { readonly state: 'unknown'; readonly why: string }
  | { readonly state: 'present'; readonly facts: HostFacts };
