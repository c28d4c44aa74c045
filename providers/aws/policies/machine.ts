import type { Role } from '../../../src/cluster/topology.ts';
import { cloudControllerStatements } from './cloud-controller.ts';
import { clusterAutoscalerStatements } from './cluster-autoscaler.ts';
import { type PolicyDocument, type PolicyScope, partitionOf, policy, type Statement } from './document.ts';
import { ebsCsiStatements } from './ebs-csi.ts';

/** Instances may take the role. The service has the same name in China. */
export const trust: PolicyDocument = policy([
  { Effect: 'Allow', Principal: { Service: 'ec2.amazonaws.com' }, Action: 'sts:AssumeRole' },
]);

/** Controllers that are left out in cluster.yaml need nothing. */
export interface MachineScope extends PolicyScope {
  readonly addons?: { readonly ebsCsi: boolean; readonly clusterAutoscaler: boolean } | undefined;
}

/**
 * What a machine may do with its instance profile. Where it may write, the path holds its own identity (`ROLE-ID:INSTANCE-ID`), which IAM
 * puts in: no machine can speak for another.
 */
export function machinePolicy(role: Role, scope: MachineScope): PolicyDocument {
  const { bucket, region } = scope;
  const arn = `arn:${partitionOf(region)}:s3:::${bucket}`;
  const may = (Sid: string, Action: string, ...paths: readonly string[]): Statement => ({
    Sid,
    Effect: 'Allow',
    Action,
    Resource: paths.map((path) => `${arn}/${path}`),
  });
  const common = [may('FetchAssets', 's3:GetObject', 'assets/*'), may('PublishHostKey', 's3:PutObject', 'hosts/${aws:userid}/*')];
  const own: Readonly<Record<Role, readonly Statement[]>> = {
    bastion: [],
    etcd: [
      // Written, never read: a stolen member cannot read the past.
      may('WriteBackups', 's3:PutObject', 'backups/*'),
      may('RecordVolumes', 's3:PutObject', 'volumes/*'),
      {
        Sid: 'FindVolumes',
        Effect: 'Allow',
        Action: 's3:ListBucket',
        Resource: arn,
        Condition: { StringLike: { 's3:prefix': 'volumes/*' } },
      },
    ],
    master: [
      ...agent(scope, may, arn),
      ...cloudControllerStatements(scope),
      ...(scope.addons?.ebsCsi === false ? [] : ebsCsiStatements(scope)),
      ...(scope.addons?.clusterAutoscaler === false ? [] : clusterAutoscalerStatements(scope)),
    ],
    worker: [
      may('FetchBundle', 's3:GetObject', 'pools/*', 'join/*/token'),
      may('AskToJoin', 's3:PutObject', 'join/requests/${aws:userid}/*'),
    ],
  };
  return policy([...common, ...own[role], ...kms(scope)]);
}

type May = (sid: string, action: string, ...paths: readonly string[]) => Statement;
/** `cluster agent`: tokens, approval of joins, the groups' hooks. */
function agent({ cluster, account, region }: PolicyScope, may: May, arn: string): readonly Statement[] {
  return [
    may('ReadJoins', 's3:GetObject', 'join/*'),
    may('WriteTokens', 's3:PutObject', 'join/*/token'),
    {
      // Without it S3 answers a GET of what is not there with 403; with a condition on the prefix too, as a GET has none.
      Sid: 'TellAbsentFromForbidden',
      Effect: 'Allow',
      Action: 's3:ListBucket',
      Resource: arn,
    },
    // These know no narrower resource.
    {
      Sid: 'LookAtMachines',
      Effect: 'Allow',
      Action: ['ec2:DescribeInstances', 'autoscaling:DescribeAutoScalingGroups', 'autoscaling:DescribeAutoScalingInstances'],
      Resource: '*',
    },
    {
      Sid: 'AnswerHooks',
      Effect: 'Allow',
      Action: ['autoscaling:CompleteLifecycleAction', 'autoscaling:RecordLifecycleActionHeartbeat'],
      Resource: `arn:${partitionOf(region)}:autoscaling:${region}:${account}:autoScalingGroup:*:autoScalingGroupName/${cluster}-*`,
      Condition: { StringEquals: { 'aws:ResourceTag/slipway.dev/cluster': cluster } },
    },
  ];
}

/** The store's objects are encrypted with the same key as the volumes. */
function kms({ kmsKey, account, region }: PolicyScope): readonly Statement[] {
  if (kmsKey === undefined) return [];
  const base = `arn:${partitionOf(region)}:kms:${region}:${account}`;
  const alias = kmsKey.startsWith('alias/') ? kmsKey : /:(alias\/.+)$/.exec(kmsKey)?.[1];
  const statement = { Sid: 'UseKey', Effect: 'Allow', Action: ['kms:Decrypt', 'kms:GenerateDataKey'] } as const;
  if (alias !== undefined)
    return [
      {
        ...statement,
        Resource: `${base}:key/*`,
        Condition: { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': alias } },
      },
    ];
  return [{ ...statement, Resource: kmsKey.startsWith('arn:') ? kmsKey : `${base}:key/${kmsKey}` }];
}
