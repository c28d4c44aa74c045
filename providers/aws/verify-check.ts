import type { Topology } from '../../src/cluster/topology.ts';
import type { Finding } from '../../src/config/finding.ts';
import { messageOf } from '../../src/errors.ts';
import type { Resource } from '../../src/plan/resource.ts';
import type { AwsSdk } from './clients.ts';
import { codeOf } from './errors.ts';
import type { Owner } from './tags.ts';
import type { World } from './verify-world.ts';

/** What the checks know: the design, and AWS to ask. All of them only read. */
export interface Verifying {
  readonly sdk: AwsSdk;
  readonly owner: Owner;
  readonly account: string;
  readonly region: string;
  /** Of the store. */
  readonly bucket: string;
  readonly topology: Topology;
  /** The design of the infrastructure. */
  readonly resources: readonly Resource[];
  readonly signal: AbortSignal;
}
export type Check = (of: Verifying, world: World) => Promise<readonly Finding[]>;

/** What could not be asked says nothing about what is: never an error. */
export function unasked(check: string, what: string, error: unknown): Finding {
  const why = typeof error === 'string' ? error : `${messageOf(error)} (${codeOf(error)})`;
  const denied = /^(UnauthorizedOperation|AccessDenied|Forbidden)/.test(codeOf(error));
  return {
    severity: 'warning',
    check,
    what: `could not check ${what}`,
    why,
    ...(denied && { next: 'allow it (docs/aws.md has the policy), or go on without this check' }),
  };
}

export const ok = (check: string, what: string): Finding => ({ severity: 'ok', check, what });
