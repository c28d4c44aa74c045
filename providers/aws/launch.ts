import { setTimeout as sleep } from 'node:timers/promises';
import { DescribeInstancesCommand, type Instance, type NetworkInterface, RunInstancesCommand } from '@aws-sdk/client-ec2';
import { messageOf, UserError } from '../../src/errors.ts';
import type { Context } from '../../src/plan/resource.ts';
import { heldBy } from './attach.ts';
import type { AwsClients } from './clients.ts';
import { tagged, visible } from './ec2.ts';
import { codeOf } from './errors.ts';
import { createWithToken } from './idempotency.ts';
import { instanceType } from './instance-type.ts';
import type { WantedMachine } from './machine.ts';
import { isGone, networkInterfaces } from './machine-queries.ts';
import { polled } from './polls.ts';
import { resourceIn, tagsFrom } from './tags.ts';
import { renderUserData } from './user-data.ts';

/** One question for all machines that are made. */
const interfacesById = polled(
  async (clients): Promise<ReadonlyMap<string, NetworkInterface>> =>
    new Map((await networkInterfaces(clients)).map((one) => [one.NetworkInterfaceId ?? '', one])),
  500,
);

/** An instance that ends lets its network interface go within a minute or two. */
const freeMs = 300_000;

/** Asks for the instance of a machine, and gives back its ID: a new one, or the one that a killed run has asked for already. */
export async function launch(props: WantedMachine, ctx: Context<AwsClients>): Promise<string> {
  for (const end = performance.now() + freeMs; ; ) {
    const holder = await holderOf(props.networkInterface, ctx);
    if (holder === undefined) {
      try {
        return await createWithToken(ctx, tokenProps(props), (token) => run(props, token, ctx), isGone).then(
          ({ InstanceId = '' }) => InstanceId,
        );
      } catch (error) {
        // Somebody was quicker: the next look says who.
        if (codeOf(error) !== 'InvalidNetworkInterface.InUse') throw error;
      }
    } else if (!isGone(holder)) {
      const { InstanceId = '', Tags } = holder;
      if (resourceIn(tagsFrom(Tags), ctx.clients.owner.cluster, 'aws.machine') === ctx.address) return InstanceId;
      throw heldBy(InstanceId, `network interface ${props.networkInterface}`, ctx.address);
    } else ctx.progress(`waits until ${holder.InstanceId} has let go of ${props.networkInterface}`);
    if (performance.now() > end)
      throw new UserError({
        what: `${props.networkInterface} was not free within ${freeMs / 1000} s`,
        where: ctx.address,
        why: holder ? `instance ${holder.InstanceId} holds it` : 'AWS says that it is in use',
        next: 'run the same command again',
      });
    await sleep(1000, undefined, { signal: ctx.signal });
  }
}

/** What is the request's, and nothing else: a token with another request is refused. */
const tokenProps = ({
  image,
  type,
  zone,
  networkInterface,
  profile,
  rootGb,
  kmsKey,
  device,
  metadata,
  boot,
  tags,
}: WantedMachine) => ({
  image,
  type,
  zone,
  networkInterface,
  profile,
  rootGb,
  kmsKey,
  device,
  metadata,
  userData: renderUserData(boot),
  tags,
});

/**
 * One machine a call, as these are few (pools are Auto Scaling groups) and no two are alike: a call for several gives all of them one interface, one
 * profile and one user data. And a token that stands for one machine can be sent again after a crash, whatever became of the others.
 */
async function run(props: WantedMachine, ClientToken: string, ctx: Context<AwsClients>): Promise<Instance> {
  const { Instances: [made] = [] } = await profileVisible(ctx, () =>
    ctx.clients.ec2.send(
      new RunInstancesCommand({
        MinCount: 1,
        MaxCount: 1,
        ClientToken,
        ImageId: props.image,
        InstanceType: instanceType(props.type),
        IamInstanceProfile: { Name: props.profile },
        Placement: { AvailabilityZone: props.zone },
        NetworkInterfaces: [{ DeviceIndex: 0, NetworkInterfaceId: props.networkInterface }],
        MetadataOptions: {
          HttpEndpoint: 'enabled',
          HttpTokens: 'required',
          HttpPutResponseHopLimit: props.metadata.hopLimit,
          InstanceMetadataTags: 'disabled',
        },
        BlockDeviceMappings: [
          {
            DeviceName: props.device,
            Ebs: {
              VolumeSize: props.rootGb,
              VolumeType: 'gp3',
              Encrypted: true,
              DeleteOnTermination: true,
              ...(props.kmsKey !== null && { KmsKeyId: props.kmsKey }),
            },
          },
        ],
        UserData: Buffer.from(renderUserData(props.boot)).toString('base64'),
        TagSpecifications: [...tagged('instance', props.tags), ...tagged('volume', props.tags)],
      }),
    ),
  );
  if (made?.InstanceId === undefined) throw new Error('AWS says that it made an instance, and not which');
  return made;
}

/** IAM tells EC2 of a new instance profile some seconds later, and at times after a minute: others wait two. */
const profileWindows = 4;
export async function profileVisible<T>(ctx: Context<AwsClients>, call: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + profileWindows * ctx.clients.windowMs; ; ) {
    try {
      return await visible(ctx, call);
    } catch (error) {
      const unseen = /instance ?profile/i.test(messageOf(error)) && /^(InvalidParameterValue|Validation)/.test(codeOf(error));
      if (!unseen || performance.now() > end) throw error;
    }
    await sleep(Math.min(1000, ctx.clients.windowMs / 10), undefined, { signal: ctx.signal });
  }
}

/** Who has the network interface: an instance that lives, or ends. */
async function holderOf(id: string, ctx: Context<AwsClients>): Promise<Instance | undefined> {
  const { ec2 } = ctx.clients;
  // Not shown: it was just made, so nobody has it.
  const { Attachment } = (await interfacesById(ctx)).get(id) ?? {};
  if (Attachment === undefined || Attachment.Status === 'detached') return undefined;
  const { InstanceId } = Attachment;
  if (InstanceId === undefined) throw heldBy(Attachment.InstanceOwnerId ?? '(unknown)', `network interface ${id}`, ctx.address);
  // Not shown: not visible yet, or gone already; both pass.
  const found = await ec2.send(new DescribeInstancesCommand({ Filters: [{ Name: 'instance-id', Values: [InstanceId] }] }));
  return found.Reservations?.[0]?.Instances?.[0] ?? { InstanceId, State: { Name: 'shutting-down' } };
}
