import { arn, ifOwned, ifTagged, type Scope, type Statement } from './statement.ts';

/**
 * The controller of the EBS CSI driver. Upstream's policy lets it use any volume that some cluster's driver made; this one only those that
 * carry this cluster's tag (--k8s-tag-cluster-id), so never etcd's. Snapshots are not part of it: nothing here makes any. A volume that is
 * brought by hand (a PersistentVolume that names it) must be tagged so, too.
 */
export function ebsCsiStatements(scope: Scope): readonly Statement[] {
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
    ...(scope.kmsKey === undefined ? [] : kms(scope.kmsKey)),
  ];
}

const kms = (key: string): readonly Statement[] => [
  {
    Sid: 'EbsCsiEncrypts',
    Effect: 'Allow',
    Action: ['kms:Decrypt', 'kms:DescribeKey', 'kms:GenerateDataKeyWithoutPlaintext', 'kms:ReEncryptFrom', 'kms:ReEncryptTo'],
    Resource: key,
  },
  {
    Sid: 'EbsCsiLetsEc2Encrypt',
    Effect: 'Allow',
    Action: ['kms:CreateGrant'],
    Resource: key,
    Condition: { Bool: { 'kms:GrantIsForAWSResource': 'true' } },
  },
];
