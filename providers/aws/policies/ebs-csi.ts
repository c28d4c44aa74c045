import { arn, ifOwned, ifTagged, type NamedStatement, type Scope } from './statement.ts';

/**
 * The controller of the EBS CSI driver. Upstream's policy lets it use any volume that some cluster's driver made; this one only those that
 * carry this cluster's tag (--k8s-tag-cluster-id), so never etcd's. Snapshots are not part of it: nothing here makes any. A volume that is
 * brought by hand (a PersistentVolume that names it) must be tagged so, too.
 */
export function ebsCsiStatements(scope: Scope): readonly NamedStatement[] {
  const volume = arn(scope, 'ec2', 'volume/*');
  const instance = arn(scope, 'ec2', 'instance/*');
  return [
    {
      Sid: 'EbsCsiLooks',
      Effect: 'Allow',
      Action: [
        'ec2:DescribeAvailabilityZones',
        'ec2:DescribeInstances',
        'ec2:DescribeInstanceTypes',
        'ec2:DescribeSnapshots',
        'ec2:DescribeTags',
        'ec2:DescribeVolumeStatus',
        'ec2:DescribeVolumes',
        'ec2:DescribeVolumesModifications',
      ],
      Resource: '*',
    },
    { Sid: 'EbsCsiMakesVolumes', Effect: 'Allow', Action: ['ec2:CreateVolume'], Resource: volume, Condition: ifTagged(scope) },
    {
      Sid: 'EbsCsiTagsNewVolumes',
      Effect: 'Allow',
      Action: ['ec2:CreateTags'],
      Resource: volume,
      Condition: { StringEquals: { 'ec2:CreateAction': 'CreateVolume' } },
    },
    {
      Sid: 'EbsCsiKeepsVolumes',
      Effect: 'Allow',
      Action: ['ec2:AttachVolume', 'ec2:DeleteVolume', 'ec2:DetachVolume', 'ec2:ModifyVolume'],
      Resource: volume,
      Condition: ifOwned(scope),
    },
    {
      // Both sides of an attachment are asked for.
      Sid: 'EbsCsiAttachesToNodes',
      Effect: 'Allow',
      Action: ['ec2:AttachVolume', 'ec2:DetachVolume'],
      Resource: instance,
      Condition: ifOwned(scope),
    },
    ...(scope.kmsKey === undefined ? [] : kms(scope, scope.kmsKey)),
  ];
}

/** `key`: ARN, ID or alias. A policy knows a key by its alias through a condition only. */
function kms(scope: Scope, key: string): readonly NamedStatement[] {
  const alias = /(?:^|:)(alias\/.+)$/.exec(key)?.[1];
  const Resource =
    key.startsWith('arn:') && alias === undefined ? key : arn(scope, 'kms', `key/${alias === undefined ? key : '*'}`);
  const byAlias = alias === undefined ? {} : { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': alias } };
  return [
    {
      Sid: 'EbsCsiEncrypts',
      Effect: 'Allow',
      Action: ['kms:Decrypt', 'kms:DescribeKey', 'kms:GenerateDataKeyWithoutPlaintext', 'kms:ReEncryptFrom', 'kms:ReEncryptTo'],
      Resource,
      ...(alias === undefined ? {} : { Condition: byAlias }),
    },
    {
      Sid: 'EbsCsiLetsEc2Encrypt',
      Effect: 'Allow',
      Action: ['kms:CreateGrant'],
      Resource,
      Condition: { ...byAlias, Bool: { 'kms:GrantIsForAWSResource': 'true' } },
    },
  ];
}
