import { type Refusal, refuse } from './answers.ts';
import type { Behaviour } from './exchange.ts';
import type { Value } from './wire.ts';
import { textsOf } from './xml.ts';

/** How long a thing that was just made stays invisible to other calls, in milliseconds: up to this, drawn for each. */
export interface ConsistencyOptions {
  readonly hiddenMs: () => number;
  readonly random: () => number;
}
export interface Consistency extends Behaviour {
  before(exchange: Parameters<NonNullable<Behaviour['before']>>[0]): Refusal | undefined;
  /** For one account and moment: is this thing still hidden? */
  hides(account: string, now: number): (id: string) => boolean;
}

/** What the creates of EC2 make, as their answers call it. */
const makes: Readonly<Record<string, string>> = {
  AllocateAddress: 'allocationId',
  CreateInternetGateway: 'internetGatewayId',
  CreateLaunchTemplate: 'launchTemplateId',
  CreateNatGateway: 'natGatewayId',
  CreateNetworkInterface: 'networkInterfaceId',
  CreateRouteTable: 'routeTableId',
  CreateSecurityGroup: 'groupId',
  CreateSubnet: 'subnetId',
  CreateVolume: 'volumeId',
  CreateVpc: 'vpcId',
  CreateVpcEndpoint: 'vpcEndpointId',
  RunInstances: 'instanceId',
};
/** EC2's word for "there is no such thing", by the kind of the id. */
const notFound: Readonly<Record<string, string>> = {
  eipalloc: 'InvalidAllocationID.NotFound',
  eni: 'InvalidNetworkInterfaceID.NotFound',
  i: 'InvalidInstanceID.NotFound',
  igw: 'InvalidInternetGatewayID.NotFound',
  lt: 'InvalidLaunchTemplateId.NotFound',
  nat: 'NatGatewayNotFound',
  rtb: 'InvalidRouteTableID.NotFound',
  sg: 'InvalidGroup.NotFound',
  subnet: 'InvalidSubnetID.NotFound',
  vol: 'InvalidVolume.NotFound',
  vpc: 'InvalidVpcID.NotFound',
  vpce: 'InvalidVpcEndpointId.NotFound',
};
const iamThings: Readonly<Record<string, string>> = { CreateRole: 'RoleName', CreateInstanceProfile: 'InstanceProfileName' };

/**
 * Eventual consistency: what a create has just made is missing from lists, and other calls that name it are told that it does not
 * exist. In IAM likewise; and a new instance profile is unknown to RunInstances for longer than to IAM.
 */
export function consistency({ hiddenMs, random }: ConsistencyOptions): Consistency {
  const until = new Map<string, number>();
  const keyOf = (account: string, id: string): string => `${account} ${id}`;
  const hides = (account: string, now: number) => (id: string) => (until.get(keyOf(account, id)) ?? 0) > now;
  return {
    hides,
    before({ call, now }) {
      if (hiddenMs() <= 0) return undefined;
      const isHidden = hides(call.account, now());
      const hidden = (id: string): boolean => {
        const is = isHidden(id);
        if (is) call.met = 'hidden';
        return is;
      };
      for (const text of texts(call.params)) {
        const kind = /^([a-z]+)-[0-9a-f]{8,17}$/.exec(text)?.[1];
        const code = kind && notFound[kind];
        // A filter by an id finds nothing, and is no error: the list is cut afterwards.
        if (call.service === 'ec2' && code && hidden(text) && !isFiltered(call.params, text))
          return refuse(code, `The ID '${text}' does not exist`);
      }
      if (call.service === 'iam')
        for (const name of ['RoleName', 'InstanceProfileName']) {
          const given = call.params[name];
          if (typeof given === 'string' && hidden(`${name} ${given}`) && !call.action.startsWith('Create'))
            return refuse('NoSuchEntity', `${name} ${given} cannot be found.`, 404);
        }
      if (call.action === 'RunInstances') {
        const profile = call.params.IamInstanceProfile;
        const [given] = texts(profile ?? null);
        const name = given?.split('/').pop();
        if (name !== undefined && hidden(`launch ${name}`))
          return refuse(
            'InvalidParameterValue',
            `Value (${name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name`,
          );
      }
      return undefined;
    },
    after({ call, now }, answer) {
      const most = hiddenMs();
      if (answer.status >= 300 || most <= 0) return answer;
      const hide = (id: string, factor = 1): void => {
        until.set(keyOf(call.account, id), now() + random() * most * factor);
      };
      const made = makes[call.action];
      if (made !== undefined && call.service === 'ec2')
        // A security group's answer names its VPC too, an instance's everything that it stands in: only what is new is hidden.
        for (const id of textsOf(answer.body.toString(), made)) hide(id);
      const named = iamThings[call.action];
      const name = named && call.params[named];
      if (named && typeof name === 'string') hide(`${named} ${name}`);
      if (call.action === 'CreateInstanceProfile' || call.action === 'AddRoleToInstanceProfile')
        hide(`launch ${String(call.params.InstanceProfileName)}`, 2);
      return answer;
    },
  };
}

function* texts(value: Value): Iterable<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) yield* texts(inner);
}
const isFiltered = (params: Readonly<Record<string, Value>>, id: string): boolean =>
  [...texts(params.Filters ?? null)].includes(id) && ![...texts({ ...params, Filters: null })].includes(id);
