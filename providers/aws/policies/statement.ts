import { type PolicyScope, partitionOf, type Statement } from './document.ts';

/** Where a role may act. */
export type Scope = Pick<PolicyScope, 'cluster' | 'account' | 'region' | 'kmsKey'>;

/** A statement that says of itself what it is for, and names its actions one by one. */
export interface NamedStatement extends Statement {
  readonly Sid: string;
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
}

export const arn = ({ region, account }: Scope, service: string, resource: string): string =>
  `arn:${partitionOf(region)}:${service}:${region}:${account}:${resource}`;

/** What Kubernetes' own programs tag as theirs, and look for. */
const tag = ({ cluster }: Scope): string => `kubernetes.io/cluster/${cluster}`;

/** Only what carries the tag of this cluster, and only with it may something be made. */
export const ifOwned = (scope: Scope) => ({ StringEquals: { [`aws:ResourceTag/${tag(scope)}`]: 'owned' } });
export const ifTagged = (scope: Scope) => ({ StringEquals: { [`aws:RequestTag/${tag(scope)}`]: 'owned' } });
