import { type Refusal, refuse } from './answers.ts';
import { ipv4, range } from './constraints.ts';
import { type Behaviour, type Exchange, textOf } from './exchange.ts';
import type { Params, Value } from './wire.ts';
import { textsOf } from './xml.ts';

/** Where things may be: addresses within their subnet and free, volumes in their instance's zone. moto checks none of it. */
export function placement(): Behaviour {
  return {
    async before(exchange) {
      const { call } = exchange;
      if (call.service !== 'ec2') return undefined;
      switch (call.action) {
        case 'CreateNetworkInterface':
          return address(exchange, textOf(call.params, 'SubnetId'), textOf(call.params, 'PrivateIpAddress'));
        case 'RunInstances':
          for (const given of [call.params, ...records(call.params.NetworkInterfaces)]) {
            const refused = await address(exchange, textOf(given, 'SubnetId'), textOf(given, 'PrivateIpAddress'));
            if (refused) return refused;
          }
          return undefined;
        case 'AttachVolume':
          return sameZone(exchange);
        default:
          return undefined;
      }
    },
  };
}
const isRecord = (value: Value): value is Params => typeof value === 'object' && value !== null && !Array.isArray(value);
const records = (value: Value | undefined): Params[] => (Array.isArray(value) ? value.filter(isRecord) : []);

async function address({ ask }: Exchange, subnet: string | undefined, wanted: string | undefined): Promise<Refusal | undefined> {
  if (subnet === undefined || wanted === undefined) return undefined;
  const found = await ask('ec2', 'DescribeSubnets', { 'SubnetId.1': subnet });
  const within = range(textsOf(found, 'cidrBlock')[0] ?? '');
  const number = ipv4(wanted);
  if (!within) return undefined;
  const offset = (number ?? -1) - within.first;
  if (number === undefined || offset < 0 || offset >= within.size)
    return refuse('InvalidParameterValue', `Address ${wanted} does not fall within the subnet's address range`);
  if (offset < 4 || offset === within.size - 1)
    return refuse('InvalidParameterValue', `Address ${wanted} is in subnet's reserved address range`);
  const taken = await ask('ec2', 'DescribeNetworkInterfaces', {
    'Filter.1.Name': 'subnet-id',
    'Filter.1.Value.1': subnet,
    'Filter.2.Name': 'addresses.private-ip-address',
    'Filter.2.Value.1': wanted,
  });
  return textsOf(taken, 'networkInterfaceId').length > 0
    ? refuse('InvalidIPAddress.InUse', `Address ${wanted} is in use.`)
    : undefined;
}

async function sameZone({ call, ask }: Exchange): Promise<Refusal | undefined> {
  const [volume, instance] = [textOf(call.params, 'VolumeId'), textOf(call.params, 'InstanceId')];
  if (volume === undefined || instance === undefined) return undefined;
  const ofVolume = textsOf(await ask('ec2', 'DescribeVolumes', { 'VolumeId.1': volume }), 'availabilityZone')[0];
  const ofInstance = textsOf(await ask('ec2', 'DescribeInstances', { 'InstanceId.1': instance }), 'availabilityZone')[0];
  return ofVolume !== undefined && ofInstance !== undefined && ofVolume !== ofInstance
    ? refuse(
        'InvalidVolume.ZoneMismatch',
        `The volume '${volume}' is not in the same availability zone as instance '${instance}'`,
      )
    : undefined;
}
