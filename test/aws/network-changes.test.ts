import {
  AttachInternetGatewayCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateInternetGatewayCommand,
  CreateNetworkInterfaceCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DeleteTagsCommand,
} from '@aws-sdk/client-ec2';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { networkTypes } from '../../providers/aws/network-types.ts';
import { openAws } from '../../providers/aws/provider.ts';
import { subnet } from '../../providers/aws/subnet.ts';
import type { Cluster } from '../../src/config/schema.ts';
import type { Address } from '../../src/plan/resource.ts';
import { type Infrastructure, infrastructure, wordsOf } from '../support/aws/infrastructure.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { type AwsPlace, awsPlace } from '../support/aws/place.ts';
import { aCluster } from '../support/builders.ts';

let moto: Moto;
const places: AwsPlace[] = [];
beforeAll(async () => {
  moto = await startMoto();
});
afterEach(async () => {
  const all = places.splice(0);
  for (const place of all) place.check();
  await Promise.all(all.map((place) => place.close()));
});
afterAll(() => moto.stop());

const region = 'eu-west-1';
const [a, b] = [`${region}a`, `${region}b`];
const clusterWith = (aws: object = {}, zones: readonly string[] = [a, b]): Cluster =>
  aCluster({
    provider: { aws: { region, nat: 'single', ...aws } },
    zones: [...zones],
    network: { zoneSlots: { [a]: 0, [b]: 1 } },
    etcd: { count: 1, zones: [a] },
    masters: { count: 1, zones: [a] },
    bastion: { allowedCidrs: ['203.0.113.0/24'] },
  });
const names = new Set<string>([...networkTypes.map(({ name }) => name), 'aws.network-interface']);
async function begin(cluster: Cluster): Promise<{ place: AwsPlace; network: Infrastructure }> {
  const place = await awsPlace(moto, cluster);
  places.push(place);
  return { place, network: await infrastructure(place, (type) => names.has(type)) };
}
/** The same place, with another cluster.yaml. */
const reopened = ({ proxy, account }: AwsPlace, cluster: Cluster): Promise<Infrastructure> => {
  const open = () => openAws({ cluster, endpoint: proxy.url, credentials: account.credentials, windowMs: 200 });
  return infrastructure({ cluster, open }, (type) => names.has(type));
};
const idAt = ({ seen }: Infrastructure, address: Address): string => {
  const found = seen.get(address);
  return found?.state === 'present' && 'id' in found.outputs ? String(found.outputs.id) : '';
};

test('an existing VPC is used, and never changed nor deleted', async () => {
  const { place, network: before } = await begin(clusterWith());
  const { ec2 } = before.clients;
  const { Vpc: { VpcId: id = '' } = {} } = await ec2.send(new CreateVpcCommand({ CidrBlock: '172.30.0.0/16' }));
  const own = { VpcId: id, AvailabilityZone: a, CidrBlock: '172.30.8.0/23' };
  const { Subnet: { SubnetId = '' } = {} } = await ec2.send(new CreateSubnetCommand(own));
  const { InternetGateway } = await ec2.send(new CreateInternetGatewayCommand());
  const cluster = clusterWith({ vpc: { id, publicSubnets: { [a]: SubnetId } } });
  const there = await place.inventory();

  const again = await reopened(place, cluster);
  await expect(again.converge()).rejects.toThrow(`${id} has no internet gateway`);
  await ec2.send(new AttachInternetGatewayCommand({ VpcId: id, InternetGatewayId: InternetGateway?.InternetGatewayId }));
  await again.converge();
  expect(wordsOf(await again.look())).toEqual([]);
  expect(idAt(again, 'aws.vpc/main')).toBe(id);
  expect(wordsOf(await again.look('down')).filter((word) => /vpc|gateway\/main|public-eu-west-1a/.test(word))).toEqual([]);
  await again.converge('down');
  expect(await place.inventory()).toEqual(there);
});

test('the ways out change as cluster.yaml says, and plan empty each time', async () => {
  const { place, network } = await begin(clusterWith());
  await network.converge();
  for (const nat of ['zone', 'none', 'single']) {
    const changed = await reopened(place, clusterWith({ nat }));
    await changed.converge('upgrade');
    expect(wordsOf(await changed.look())).toEqual([]);
  }
});

test('a zone that is removed keeps its ways until `upgrade` has emptied it', async () => {
  const { place, network } = await begin(clusterWith());
  await network.converge();
  const smaller = await reopened(place, clusterWith({}, [a]));
  const left = wordsOf(await smaller.look('up'));
  expect(left).toContain(`delete aws.subnet/private-${b} (left to upgrade)`);
  expect(left.filter((word) => !word.includes('left to'))).toEqual([]);
  await smaller.converge('upgrade');
  expect(wordsOf(await smaller.look())).toEqual([]);
});

test('rules of Kubernetes’ controllers stay, also when others are healed', async () => {
  const { network } = await begin(clusterWith());
  await network.converge();
  const { ec2 } = network.clients;
  const Tags = [{ Key: 'kubernetes.io/cluster/demo', Value: 'owned' }];
  const { GroupId } = await ec2.send(
    new CreateSecurityGroupCommand({
      GroupName: 'k8s-elb-1',
      Description: 'of a Service',
      VpcId: idAt(network, 'aws.vpc/main'),
      TagSpecifications: [{ ResourceType: 'security-group', Tags }],
    }),
  );
  const worker = idAt(network, 'aws.security-group/worker');
  const ports = { IpProtocol: 'tcp', FromPort: 30_001, ToPort: 30_001 };
  const nlb = { CidrIp: '0.0.0.0/0', Description: 'kubernetes.io/rule/nlb/client=1' };
  const IpPermissions = [
    { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId }] },
    { ...ports, IpRanges: [nlb] },
  ];
  await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: worker, IpPermissions }));
  expect(wordsOf(await network.look())).toEqual([]);
  const hand = { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, IpRanges: [{ CidrIp: '0.0.0.0/0' }] };
  await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: worker, IpPermissions: [hand] }));
  expect(wordsOf(await network.look())).toEqual(['update aws.firewall/worker: ingress.tcp 80 from 0.0.0.0/0']);
  await network.converge();
  // Duplicate: they are there still.
  await expect(
    ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId: worker, IpPermissions: IpPermissions.slice(1) })),
  ).rejects.toThrow(/already exists/);
});

test('a VPC that has lost its tags gets no second one beside it', async () => {
  const { network } = await begin(clusterWith());
  await network.converge();
  const id = idAt(network, 'aws.vpc/main');
  await network.clients.ec2.send(new DeleteTagsCommand({ Resources: [id], Tags: [{ Key: 'slipway.dev/cluster' }] }));
  await expect(network.converge()).rejects.toThrow(new RegExp(`subnets are in ${id}, which has lost the tags`));
});

test('what cannot be deleted says what holds it', async () => {
  const { network } = await begin(clusterWith());
  await network.converge();
  const address: Address = `aws.subnet/private-${b}`;
  const id = idAt(network, address);
  const { clients } = network;
  const Description = 'somebody’s database';
  const { NetworkInterface } = await clients.ec2.send(new CreateNetworkInterfaceCommand({ SubnetId: id, Description }));
  const context = {
    address,
    clients,
    signal: AbortSignal.timeout(1500),
    since: 0,
    token: '',
    hold: [],
    secrets: { reveal: () => Promise.reject(new Error('none')) },
    progress: () => undefined,
  };
  await expect(subnet.delete?.({ id }, context)).rejects.toMatchObject({
    problem: { where: address, why: expect.stringContaining(`${NetworkInterface?.NetworkInterfaceId} (${Description})`) },
  });
});
