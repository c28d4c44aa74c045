import { z } from 'zod';
import { any, text, zone } from './words.ts';

const port = z.int().min(0).max(65535).default(0);

export const localProvider = z
  .strictObject({
    apiPort: port.describe('Port on 127.0.0.1 where the API is published; 0 lets Docker choose'),
    sshPort: port.describe('Port on 127.0.0.1 where the bastion is published; 0 lets Docker choose'),
  })
  .describe('Containers on this Linux machine, by Docker');
const awsId = (kind: string) => text(new RegExp(`^${kind}-[0-9a-f]{8,17}$`), `an ID of AWS such as ${kind}-0123456789abcdef0`);
export const awsProvider = z
  .strictObject({
    region: text(/^[a-z]{2}(-[a-z]+)+-\d$/, 'a region of AWS such as eu-central-1').describe('Region: eu-central-1'),
    accountIds: z
      .array(text(/^\d{12}$/, 'an account ID of AWS: 12 digits, in quotes'))
      .max(100)
      .default([])
      .describe('Accounts in which this cluster may be made; any, if empty'),
    vpc: z
      .strictObject({
        id: awsId('vpc').describe('A VPC that exists, whose range holds network.machines; it is never changed nor deleted'),
        publicSubnets: z
          .record(zone, awsId('subnet'))
          .default({})
          .describe('Public subnets that exist, by zone; made, if not named'),
        privateSubnets: z
          .record(zone, awsId('subnet'))
          .default({})
          .describe('Private subnets that exist, with a way out, by zone; made, if not named'),
      })
      .optional()
      .describe('Use a VPC that exists; default: one of its own'),
    nat: z
      .enum(['zone', 'single', 'none'])
      .default('zone')
      .describe('NAT gateways for the private subnets: one a zone, one in all, or none (no way to the Internet)'),
    image: z
      .strictObject({
        owner: text(/^(\d{12}|amazon|self)$/, 'an account ID of AWS, amazon or self').default('136693071363'),
        name: any('the name of an image, in which * stands for anything').default('debian-12-amd64-*'),
      })
      .prefault({})
      .describe(
        'Machine image: the newest of this owner whose name fits, found once and kept until this changes. It needs systemd, cloud-init, curl 7.87, nftables and iproute2; default: Debian 12',
      ),
    kmsKey: text(
      /^(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key\/(mrk-)?[0-9a-f-]{32,36}|alias\/[\w/-]+)|(mrk-)?[0-9a-f-]{32,36}|alias\/[\w/-]+)$/,
      'the ARN, ID or alias of a KMS key: arn:aws:kms:REGION:ACCOUNT:key/ID, ID, or alias/NAME',
    )
      .optional()
      .describe("KMS key for volumes and the store: ARN, ID or alias; default: AWS's own key of the account"),
    tags: z
      .record(
        text(
          /^(?!aws:|slipway\.dev\/|kubernetes\.io\/|k8s\.io\/|Name$)[\p{L}\p{Z}\p{N}_.:/=+@-]{1,128}$/u,
          'a tag key of AWS: up to 128 characters, not Name, not beginning with aws:, slipway.dev/, kubernetes.io/ or k8s.io/',
        ),
        text(
          /^[\p{L}\p{Z}\p{N}_.:/=+@-]{0,256}$/u,
          'the value of a tag of AWS: up to 256 letters, digits, spaces and _ . : / = + - @',
        ),
      )
      .default({})
      .describe('Further tags on everything that is made'),
    addons: z
      .strictObject({
        ebsCsi: z
          .boolean()
          .default(true)
          .describe('EBS CSI driver with a default StorageClass (gp3, encrypted), for volumes of pods'),
        clusterAutoscaler: z
          .boolean()
          .default(true)
          .describe('cluster-autoscaler, where a pool has min and max: grows and shrinks its groups as pods need'),
      })
      .prefault({})
      .describe('What runs in clusters on AWS, beside the cloud controller; nodes pull it from registry.k8s.io'),
  })
  .describe('Amazon Web Services');
export const gcpProvider = z
  .strictObject({
    project: text(
      /^[a-z][-a-z0-9]{4,28}[a-z0-9]$/,
      'a project ID of Google Cloud: 6 to 30 lower-case letters, digits and dashes',
    ).describe('Project ID'),
    region: text(/^[a-z]+-[a-z]+\d+$/, 'a region of Google Cloud such as europe-west3').describe('Region: europe-west3'),
  })
  .describe('Google Cloud');
