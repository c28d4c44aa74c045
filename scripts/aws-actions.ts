import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { operatorPolicy } from '../providers/aws/policies/operator.ts';

/** What IAM calls the services whose clients the provider imports. */
const services: Readonly<Record<string, string>> = {
  'auto-scaling': 'autoscaling',
  ec2: 'ec2',
  'elastic-load-balancing': 'elasticloadbalancing',
  'elastic-load-balancing-v2': 'elasticloadbalancing',
  iam: 'iam',
  pricing: 'pricing',
  'route-53': 'route53',
  s3: 's3',
  'service-quotas': 'servicequotas',
  sts: 'sts',
};

/**
 * Calls whose action has another name, that need several, or none. Source: Service Authorization Reference of each service. S3's multipart
 * uploads are PutObject, what HEAD asks is what GET and LIST may; tags that a create carries are an action of their own.
 */
const special: Readonly<Record<string, readonly string[]>> = {
  'sts:GetCallerIdentity': [],
  's3:HeadBucket': ['s3:ListBucket'],
  's3:HeadObject': ['s3:GetObject'],
  's3:ListObjectsV2': ['s3:ListBucket'],
  's3:ListObjectVersions': ['s3:ListBucketVersions'],
  's3:DeleteObjects': ['s3:DeleteObject', 's3:DeleteObjectVersion'],
  's3:CreateMultipartUpload': ['s3:PutObject'],
  's3:UploadPart': ['s3:PutObject'],
  's3:CompleteMultipartUpload': ['s3:PutObject'],
  's3:PutBucketEncryption': ['s3:PutEncryptionConfiguration'],
  's3:PutBucketLifecycleConfiguration': ['s3:PutLifecycleConfiguration'],
  's3:PutPublicAccessBlock': ['s3:PutBucketPublicAccessBlock'],
  'ec2:RunInstances': ['ec2:RunInstances', 'ec2:CreateTags', 'iam:PassRole'],
  'ec2:AssociateIamInstanceProfile': ['ec2:AssociateIamInstanceProfile', 'iam:PassRole'],
  'ec2:ReplaceIamInstanceProfileAssociation': ['ec2:ReplaceIamInstanceProfileAssociation', 'iam:PassRole'],
  'autoscaling:CreateAutoScalingGroup': [
    'autoscaling:CreateAutoScalingGroup',
    'autoscaling:CreateOrUpdateTags',
    'ec2:RunInstances',
    'iam:CreateServiceLinkedRole',
    'iam:PassRole',
  ],
  'elasticloadbalancing:CreateLoadBalancer': [
    'elasticloadbalancing:AddTags',
    'elasticloadbalancing:CreateLoadBalancer',
    'iam:CreateServiceLinkedRole',
  ],
  'iam:CreateInstanceProfile': ['iam:CreateInstanceProfile', 'iam:TagInstanceProfile'],
  'iam:CreateRole': ['iam:CreateRole', 'iam:TagRole'],
  'route53:CreateHostedZone': ['route53:AssociateVPCWithHostedZone', 'route53:CreateHostedZone', 'ec2:DescribeVpcs'],
};

/** What runs on the masters, with their own role. */
const ofOthers = ['agent-cloud.ts'];

const directory = fileURLToPath(new URL('../providers/aws', import.meta.url));

/** The IAM actions that the provider's code needs of whoever runs the command: from what it imports of the SDK. Throws for what it cannot tell. */
export function usedActions(): readonly string[] {
  const actions = new Set<string>();
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.ts') && !ofOthers.includes(name))) {
    const text = readFileSync(`${directory}/${file}`, 'utf8');
    for (const [, names = '', client = ''] of text.matchAll(/import \{([^}]*)\} from '@aws-sdk\/client-([a-z0-9-]+)'/g))
      for (const name of names.split(',').map((one) => one.trim().replace(/ as \w+$/, '')))
        for (const action of actionsOf(name, client, file)) actions.add(action);
  }
  return [...actions].sort();
}

function actionsOf(name: string, client: string, file: string): readonly string[] {
  if (name === '' || name.startsWith('type ') || name.endsWith('Client') || name.endsWith('Exception')) return [];
  const [, call] = /^(?:paginate)?([A-Z]\w*?)(?:Command)?$/.exec(name) ?? [];
  const service = services[client];
  if (call === undefined || service === undefined || !/^paginate|Command$/.test(name))
    throw new Error(`${file}: which action is ${name} of client-${client}? Say so in scripts/aws-actions.ts`);
  return actionsOfCall(service, call);
}

/** What IAM asks for when this call is made. */
export const actionsOfCall = (service: string, call: string): readonly string[] =>
  special[`${service}:${call}`] ?? [`${service}:${call}`];

export const renderActions = (): string => `${JSON.stringify(usedActions(), undefined, 2)}\n`;

/** In which NAME, ACCOUNT, REGION and KEY-ID are to be replaced. */
export const renderPolicy = (): string =>
  `${JSON.stringify(
    operatorPolicy(usedActions(), {
      cluster: 'NAME',
      account: 'ACCOUNT',
      region: 'REGION',
      bucket: 'slipway-ACCOUNT-REGION-NAME',
      kmsKey: 'arn:aws:kms:REGION:ACCOUNT:key/KEY-ID',
    }),
    undefined,
    2,
  )}\n`;
