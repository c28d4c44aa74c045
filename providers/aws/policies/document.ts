/** A policy as IAM keeps it. */
export interface PolicyDocument {
  readonly Version: '2012-10-17';
  readonly Statement: readonly Statement[];
}
export interface Statement {
  readonly Sid?: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: Readonly<Record<string, string>>;
  readonly Action: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

export const policy = (statements: readonly Statement[]): PolicyDocument => ({ Version: '2012-10-17', Statement: statements });

/** What policies name. */
export interface PolicyScope {
  readonly cluster: string;
  readonly account: string;
  readonly region: string;
  /** Of the store. */
  readonly bucket: string;
  /** `provider.aws.kmsKey`: an ARN, ID or alias. */
  readonly kmsKey: string | undefined;
}

/** AWS proper, China and GovCloud name their things apart. */
export const partitionOf = (region: string): string =>
  region.startsWith('cn-') ? 'aws-cn' : region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
