import {
  DeleteTagsCommand as DeleteGroupTagsCommand,
  DescribeAutoScalingGroupsCommand,
  SetDesiredCapacityCommand,
  UpdateAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import {
  AttachVolumeCommand,
  CreateNetworkInterfaceCommand,
  CreateTagsCommand,
  CreateVolumeCommand,
  DeleteTagsCommand,
  DescribeImagesCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  type EC2Client,
  ModifyInstanceMetadataOptionsCommand,
  ModifyNetworkInterfaceAttributeCommand,
  RunInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { PutRolePolicyCommand, RemoveRoleFromInstanceProfileCommand } from '@aws-sdk/client-iam';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openSdk } from '../../providers/aws/clients.ts';
import { withProviderDefaults } from '../../src/config/provider-defaults.ts';
import { type Cluster, type ClusterInput, clusterSchema } from '../../src/config/schema.ts';
import { type Infrastructure, infrastructure, wordsOf } from '../support/aws/infrastructure.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { type AwsPlace, awsPlace } from '../support/aws/place.ts';

const region = 'eu-west-1';
const zone = `${region}a`;
const clusterOf = (over: Partial<ClusterInput> = {}): Cluster =>
  clusterSchema.parse(
    withProviderDefaults({
      apiVersion: 'slipway/v1',
      kind: 'Cluster',
      name: 'demo',
      provider: { aws: { region, image: { owner: 'amazon', name: 'amzn2-ami-hvm-2.*-x86_64-*' } } },
      zones: [zone],
      etcd: { count: 1 },
      masters: { count: 1 },
      pools: [{ name: 'workers', min: 1, max: 3 }],
      ...over,
    }),
  );
/** Machines and what they stand on: subnets and groups, no ways out, no balancer. */
const machinesOnly = (type: string): boolean =>
  /^aws\.(vpc|subnet|security-group|image|role|volume|spare-volume|network-interface|machine|launch-template|pool)$/.test(type);

let moto: Moto;
beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto.stop());
const places: AwsPlace[] = [];
afterEach(async () => {
  for (const place of places.splice(0)) {
    try {
      place.check();
    } finally {
      await place.close();
    }
  }
});

interface Standing {
  readonly place: AwsPlace;
  readonly one: Infrastructure;
  /** Somebody with the same credentials. */
  readonly ec2: EC2Client;
  readonly sdk: ReturnType<typeof openSdk>;
  id(address: `${string}/${string}`, field?: string): string;
}
async function standing(cluster: Cluster = clusterOf()): Promise<Standing> {
  const place = await awsPlace(moto, cluster);
  places.push(place);
  const one = await infrastructure(place, machinesOnly);
  await one.converge();
  const sdk = openSdk({ region, endpoint: place.proxy.url, credentials: place.account.credentials });
  const id: Standing['id'] = (address, field = 'id') => {
    const found = one.seen.get(address);
    const outputs: Readonly<Record<string, unknown>> = found?.state === 'present' ? { ...found.outputs } : {};
    return String(outputs[field]);
  };
  return { place, one, ec2: sdk.ec2, sdk, id };
}
const bastion = 'aws.machine/bastion';
const etcd = `aws.machine/etcd-${zone}` as const;
const main = `aws.volume/etcd-${zone}.main` as const;

test('machines come up, plan empty, and go, volumes too', async () => {
  const { one, place, id } = await standing();
  expect(wordsOf(await one.look())).toEqual([]);
  expect(one.seen.get(etcd)).toMatchObject({
    outputs: { state: 'running', role: 'etcd', zone, hostKey: expect.stringMatching(/^ssh-ed25519 AAAA/) },
  });
  expect(id(etcd, 'providerId')).toBe(`aws:///${zone}/${id(etcd)}`);
  await one.converge('down');
  const left = (await place.inventory()).filter((line) => !line.startsWith('bucket'));
  expect(left).toEqual(await fresh());
});
const fresh = async (): Promise<readonly string[]> => {
  const place = await awsPlace(moto, clusterOf());
  places.push(place);
  return place.inventory();
};

describe('drift', () => {
  test('a machine that was stopped by hand is started', async () => {
    const { one, ec2, id } = await standing();
    await ec2.send(new StopInstancesCommand({ InstanceIds: [id(bastion)] }));
    expect(wordsOf(await one.look())).toEqual([`update ${bastion}: running`]);
    await one.converge();
  });

  test('a terminated machine is made anew, at its address, with its volumes', async () => {
    const { one, ec2, id } = await standing();
    const before = id(etcd);
    const [address, volume] = [id(etcd, 'address'), id(main)];
    await ec2.send(new TerminateInstancesCommand({ InstanceIds: [before] }));
    expect(wordsOf(await one.look())).toEqual([`create ${etcd}`]);
    await one.converge();
    expect(id(etcd)).not.toBe(before);
    expect([id(etcd, 'address'), id(main)]).toEqual([address, volume]);
    const { Volumes: [found] = [] } = await ec2.send(new DescribeVolumesCommand({ VolumeIds: [volume] }));
    expect(found?.Attachments?.map(({ InstanceId }) => InstanceId)).toEqual([id(etcd)]);
    expect(wordsOf(await one.look())).toEqual([]);
  });

  test('a detached volume is attached again', async () => {
    const { one, ec2, id } = await standing();
    await ec2.send(new DetachVolumeCommand({ VolumeId: id(main), InstanceId: id(etcd) }));
    expect(wordsOf(await one.look())).toEqual([`update ${etcd}: volumes`]);
    await one.converge();
    expect(wordsOf(await one.look())).toEqual([]);
  });

  test('looser metadata options are healed in place', async () => {
    const { one, ec2, id } = await standing();
    const before = id(etcd);
    await ec2.send(
      new ModifyInstanceMetadataOptionsCommand({ InstanceId: before, HttpTokens: 'optional', HttpPutResponseHopLimit: 2 }),
    );
    expect(wordsOf(await one.look())).toEqual([`update ${etcd}: metadata`]);
    await one.converge();
    expect(id(etcd)).toBe(before);
    expect(wordsOf(await one.look())).toEqual([]);
  });

  test('a network interface gets its groups back, and stays when its machine goes', async () => {
    const { one, ec2, id } = await standing();
    const [address, NetworkInterfaceId] = [
      `aws.network-interface/etcd-${zone}` as const,
      id(`aws.network-interface/etcd-${zone}`),
    ];
    const Groups = [id('aws.security-group/bastion')];
    await ec2.send(new ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId, Groups }));
    await ec2.send(new ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId, SourceDestCheck: { Value: false } }));
    expect(wordsOf(await one.look())).toEqual([`update ${address}: securityGroups, sourceDestCheck`]);
    await one.converge();
    expect(wordsOf(await one.look())).toEqual([]);
  });

  test('tags that were changed or removed come back, those of others stay', async () => {
    const { one, ec2, id } = await standing();
    await ec2.send(
      new CreateTagsCommand({
        Resources: [id(etcd), id(main)],
        Tags: [
          { Key: 'Name', Value: 'mine' },
          { Key: 'team', Value: 'a' },
        ],
      }),
    );
    await ec2.send(new DeleteTagsCommand({ Resources: [id(etcd)], Tags: [{ Key: 'slipway.dev/role' }] }));
    expect(wordsOf(await one.look())).toEqual([`update ${etcd}: tags.Name, tags.slipway.dev/role`, `update ${main}: tags.Name`]);
    await one.converge();
    expect(wordsOf(await one.look())).toEqual([]);
    const { Volumes: [found] = [] } = await ec2.send(new DescribeVolumesCommand({ VolumeIds: [id(main)] }));
    expect(found?.Tags).toContainEqual({ Key: 'team', Value: 'a' });
  });

  test('a role that may do more, or has lost its profile, is put right', async () => {
    const { one, sdk, id } = await standing();
    const wide = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };
    await sdk.iam.send(
      new PutRolePolicyCommand({
        RoleName: id('aws.role/etcd', 'profile'),
        PolicyName: 'slipway',
        PolicyDocument: JSON.stringify(wide),
      }),
    );
    const worker = id('aws.role/worker', 'profile');
    await sdk.iam.send(new RemoveRoleFromInstanceProfileCommand({ RoleName: worker, InstanceProfileName: worker }));
    expect(wordsOf(await one.look())).toEqual(['update aws.role/etcd: policy', 'update aws.role/worker: profile']);
    await one.converge();
    expect(wordsOf(await one.look())).toEqual([]);
  });

  test('bounds of a group come back; how many it wants is not ours', async () => {
    const { one, sdk, id } = await standing();
    const address = `aws.pool/workers-${zone}` as const;
    const AutoScalingGroupName = id(address, 'name');
    await sdk.autoscaling.send(new SetDesiredCapacityCommand({ AutoScalingGroupName, DesiredCapacity: 2 }));
    expect(wordsOf(await one.look())).toEqual([]);
    await sdk.autoscaling.send(new UpdateAutoScalingGroupCommand({ AutoScalingGroupName, MaxSize: 9 }));
    await sdk.autoscaling.send(
      new DeleteGroupTagsCommand({
        Tags: [
          { ResourceId: AutoScalingGroupName, ResourceType: 'auto-scaling-group', Key: 'k8s.io/cluster-autoscaler/enabled' },
        ],
      }),
    );
    expect(wordsOf(await one.look())).toEqual([`update ${address}: max, tags.k8s.io/cluster-autoscaler/enabled`]);
    await one.converge();
    expect(wordsOf(await one.look())).toEqual([]);
    const { AutoScalingGroups: [group] = [] } = await sdk.autoscaling.send(
      new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [AutoScalingGroupName] }),
    );
    expect(group?.DesiredCapacity).toBe(2);
  });
});

describe('what serves', () => {
  test('another machine type is left to upgrade, which makes the machine anew', async () => {
    const { one, id } = await standing();
    const larger = clusterOf({ etcd: { count: 1, machine: { type: 't3.large' } }, bastion: { machine: { type: 't3.small' } } });
    expect(wordsOf(await one.look('up', larger))).toEqual([
      `update ${bastion}: type (left to upgrade)`,
      `update ${etcd}: type (left to upgrade)`,
    ]);
    const before = id(etcd);
    await one.converge('upgrade', larger);
    expect(wordsOf(await one.look('upgrade', larger))).toEqual([]);
    expect(id(etcd)).not.toBe(before);
  });

  test("a pool's machine type is left to upgrade, its size is not", async () => {
    const { one } = await standing();
    const other = clusterOf({ pools: [{ name: 'workers', min: 2, max: 5, machine: { type: 'm6i.large' }, spot: true }] });
    expect(wordsOf(await one.look('up', other))).toEqual([
      'update aws.launch-template/workers: type (left to upgrade)',
      `update aws.pool/workers-${zone}: types, spot, min, max`,
    ]);
    await one.publish(other);
    // Its member is replaced by its turn (groups.test.ts).
    expect(wordsOf(await one.look('upgrade', other))).toEqual([`update aws.pool/workers-${zone}: outdated`]);
  });

  test('a pool that is no longer wanted is emptied while the cluster lives, and ends at once with it', async () => {
    const two = clusterOf({
      pools: [
        { name: 'workers', min: 1, max: 3 },
        { name: 'gpu', min: 1, max: 1 },
      ],
    });
    const { one, place } = await standing(two);
    const groupCalls = async (act: () => Promise<void>) => {
      const before = place.proxy.calls.length;
      await act();
      return place.proxy.calls
        .slice(before)
        .map(({ action }) => action)
        .filter((action) => /^(UpdateAutoScalingGroup|DeleteAutoScalingGroup)$/.test(action));
    };
    expect(wordsOf(await one.look('up', clusterOf()))).toContainEqual(`delete aws.pool/gpu-${zone} (left to upgrade)`);
    expect(await groupCalls(() => one.converge('upgrade', clusterOf()))).toEqual([
      'UpdateAutoScalingGroup',
      'DeleteAutoScalingGroup',
    ]);
    expect(await groupCalls(() => one.converge('down'))).toEqual(['DeleteAutoScalingGroup']);
  });

  test('a larger volume grows, a smaller one would lose its data', async () => {
    const { one, ec2, id } = await standing();
    const larger = clusterOf({ etcd: { count: 1, volumeGb: 40 } });
    await one.converge('up', larger);
    const { Volumes: [found] = [] } = await ec2.send(new DescribeVolumesCommand({ VolumeIds: [id(main)] }));
    expect(found?.Size).toBe(40);
    expect(wordsOf(await one.look())).toEqual([
      `update aws.volume/etcd-${zone}.events: gb (left to allow-data-loss)`,
      `update ${main}: gb (left to allow-data-loss)`,
    ]);
  });
});

describe("what is somebody else's", () => {
  test('a volume that is attached to another instance is not taken from it', async () => {
    const { one, ec2, id } = await standing();
    const other = await instance(ec2);
    await ec2.send(new DetachVolumeCommand({ VolumeId: id(main), InstanceId: id(etcd) }));
    await ec2.send(new AttachVolumeCommand({ VolumeId: id(main), InstanceId: other, Device: '/dev/sdf' }));
    const volume = id(main);
    await expect(one.converge()).rejects.toThrow(
      new RegExp(`${volume} is attached to instance ${other}, which is not this machine`),
    );
  });

  test("another machine's volume on a machine is named, not detached", async () => {
    const { one, ec2, id } = await standing();
    const volume = id(main);
    await ec2.send(new DetachVolumeCommand({ VolumeId: volume, InstanceId: id(etcd) }));
    await ec2.send(new AttachVolumeCommand({ VolumeId: volume, InstanceId: id(bastion), Device: '/dev/sdf' }));
    await expect(one.converge()).rejects.toThrow(new RegExp(`volume ${volume} \\(etcd-${zone}.main\\) is attached to`));
  });

  test('an instance whose tags were removed keeps its network interface', async () => {
    const { one, ec2, id } = await standing();
    const lost = id(bastion);
    await ec2.send(new DeleteTagsCommand({ Resources: [lost], Tags: [{ Key: 'slipway.dev/resource' }] }));
    expect(wordsOf(await one.look())).toEqual([`create ${bastion}`]);
    await expect(one.converge()).rejects.toThrow(new RegExp(`is attached to instance ${lost}, which is not this machine`));
  });

  test('an address that is taken is named, with who has it', async () => {
    const { one, ec2, id } = await standing();
    const subnet = one.seen.get(`aws.subnet/private-${zone}`);
    const SubnetId = subnet?.state === 'present' && 'id' in subnet.outputs ? String(subnet.outputs.id) : '';
    const taken = id(etcd, 'address').replace(/\d+$/, (last) => String(Number(last) + 1));
    await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId, PrivateIpAddress: taken, Description: 'mine' }));
    await expect(one.converge('up', clusterOf({ etcd: { count: 2 } }))).rejects.toThrow(/is taken by something[\s\S]*mine/);
  });
});

test('of two volumes at one address the unused younger goes', async () => {
  const { one, ec2, id } = await standing();
  const Tags = [
    { Key: 'slipway.dev/cluster', Value: 'demo' },
    { Key: 'slipway.dev/resource', Value: main },
  ];
  const { VolumeId: spare = '' } = await ec2.send(
    new CreateVolumeCommand({ AvailabilityZone: zone, Size: 20, TagSpecifications: [{ ResourceType: 'volume', Tags }] }),
  );
  const before = id(main);
  expect(wordsOf(await one.look())).toEqual([`delete aws.spare-volume/etcd-${zone}.main~${spare}`]);
  await one.converge();
  expect(id(main)).toBe(before);
  expect(wordsOf(await one.look())).toEqual([]);
});

async function instance(ec2: EC2Client): Promise<string> {
  const { Images: [image] = [] } = await ec2.send(new DescribeImagesCommand({ Owners: ['amazon'] }));
  const { Instances: [made] = [] } = await ec2.send(
    new RunInstancesCommand({ ImageId: image?.ImageId, MinCount: 1, MaxCount: 1, Placement: { AvailabilityZone: zone } }),
  );
  return made?.InstanceId ?? '';
}
