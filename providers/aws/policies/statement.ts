/** One statement of an IAM policy, as IAM writes it. */
export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

/** Where a role may act. */
export interface Scope {
  readonly cluster: string;
  /** `aws`, `aws-cn`, `aws-us-gov` */
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  /** The ARN of `provider.aws.kmsKey`, where there is one; a name of it will not do in a policy. */
  readonly kmsKey?: string | undefined;
}

export const arn = ({ partition, region, account }: Scope, service: string, resource: string): string =>
  `arn:${partition}:${service}:${region}:${account}:${resource}`;

/** What Kubernetes' own programs tag as theirs, and look for. */
export const kubernetesTag = (cluster: string): string => `kubernetes.io/cluster/${cluster}`;

/** Only what carries the tag of this cluster, and only with it may something be made. */
export const ifOwned = ({ cluster }: Scope) => ({
  StringEquals: { [`aws:ResourceTag/${kubernetesTag(cluster)}`]: 'owned' },
});
export const ifTagged = ({ cluster }: Scope) => ({
  StringEquals: { [`aws:RequestTag/${kubernetesTag(cluster)}`]: 'owned' },
});
