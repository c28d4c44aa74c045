import { type Refusal, refuse } from './answers.ts';
import { type Behaviour, type Exchange, textOf, withBody } from './exchange.ts';
import { listing, textsOf } from './xml.ts';

/**
 * What takes time on AWS and none in moto: instances are pending at first, NAT gateways pending, volumes creating, load balancers
 * provisioning, targets initial; each for `settleMs` after the call that made it.
 */
export function settling(settleMs: () => number, healthy: (target: string) => boolean): Behaviour {
  const began = new Map<string, number>();
  const keyOf = ({ call }: Exchange, id: string): string => `${call.account} ${id}`;
  const young = (exchange: Exchange, id: string): boolean =>
    exchange.now() - (began.get(keyOf(exchange, id)) ?? Number.NEGATIVE_INFINITY) < settleMs();
  return {
    before(exchange): Refusal | undefined {
      const { call } = exchange;
      const instance = textOf(call.params, 'InstanceId');
      const volume = textOf(call.params, 'VolumeId');
      if (call.service !== 'ec2' || call.action !== 'AttachVolume') return undefined;
      if (instance !== undefined && young(exchange, instance))
        return refuse('IncorrectState', `Instance '${instance}' is not 'running'.`);
      if (volume !== undefined && young(exchange, volume)) return refuse('IncorrectState', `${volume} is not 'available'.`);
      return undefined;
    },
    after(exchange, answer) {
      const { call, now } = exchange;
      const states = slow[`${call.service}.${call.action}`];
      if (!states || answer.status >= 300 || answer.body.length === 0) return answer;
      const xml = answer.body.toString();
      if (states.begins) {
        for (const id of states.begins === 'targets' ? targetsOf(exchange) : textsOf(xml, states.begins))
          began.set(keyOf(exchange, id), now());
      }
      if (call.action === 'DescribeTargetHealth') return withBody(answer, targetHealth(exchange, xml, young, healthy));
      if (settleMs() <= 0 || !states.id) return answer;
      return withBody(
        answer,
        rewrite(xml, states, (id) => young(exchange, id)),
      );
    },
  };
}

interface States {
  /** What the answer calls the things that begin here. */
  readonly begins?: string;
  readonly id?: string;
  /** What it is in the end, and what it is before. */
  readonly states?: readonly (readonly [settled: string, before: string])[];
  /** The list in the answer, and what its items are called; absent where the answer is the thing itself. */
  readonly list?: string;
  readonly item?: string;
}
const instance: States = {
  id: 'instanceId',
  states: [
    ['<code>16</code><name>running</name>', '<code>0</code><name>pending</name>'],
    ['<code>48</code><name>terminated</name>', '<code>32</code><name>shutting-down</name>'],
    ['<code>80</code><name>stopped</name>', '<code>64</code><name>stopping</name>'],
  ],
  list: 'instancesSet',
};
const nat: States = {
  id: 'natGatewayId',
  states: [
    ['<state>available</state>', '<state>pending</state>'],
    ['<state>deleted</state>', '<state>deleting</state>'],
  ],
};
const volume: States = { id: 'volumeId', states: [['<status>available</status>', '<status>creating</status>']] };
const balancer: States = {
  id: 'LoadBalancerArn',
  states: [['<Code>active</Code>', '<Code>provisioning</Code>']],
  list: 'LoadBalancers',
  item: 'member',
};
const slow: Readonly<Record<string, States>> = {
  'ec2.RunInstances': { begins: 'instanceId', ...instance },
  'ec2.DescribeInstances': instance,
  'ec2.StartInstances': { begins: 'instanceId' },
  'ec2.StopInstances': { begins: 'instanceId' },
  'ec2.TerminateInstances': { begins: 'instanceId' },
  'ec2.CreateNatGateway': { begins: 'natGatewayId', ...nat },
  'ec2.DeleteNatGateway': { begins: 'natGatewayId' },
  'ec2.DescribeNatGateways': { list: 'natGatewaySet', ...nat },
  'ec2.CreateVolume': { begins: 'volumeId', ...volume },
  'ec2.DescribeVolumes': { list: 'volumeSet', ...volume },
  'elasticloadbalancing.CreateLoadBalancer': { begins: 'LoadBalancerArn', ...balancer },
  'elasticloadbalancing.DescribeLoadBalancers': balancer,
  'elasticloadbalancing.RegisterTargets': { begins: 'targets' },
  'elasticloadbalancing.DescribeTargetHealth': {},
};

function rewrite(xml: string, { id = '', states = [], list, item }: States, young: (id: string) => boolean): string {
  const early = (piece: string): string => states.reduce((text, [settled, before]) => text.replace(settled, before), piece);
  const one = (piece: string): string => (textsOf(piece, id).slice(0, 1).some(young) ? early(piece) : piece);
  return list === undefined ? one(xml) : mapItems(xml, list, item ?? 'item', one);
}
/** Every list of that name: a describe answers with one for each reservation. */
function mapItems(xml: string, list: string, item: string, change: (item: string) => string): string {
  const found = listing(xml, list, item);
  return found ? found.before + found.items.map(change).join('') + mapItems(found.after, list, item, change) : xml;
}

function targetsOf({ call }: Exchange): string[] {
  const group = textOf(call.params, 'TargetGroupArn') ?? '';
  const targets = call.params.Targets;
  return Array.isArray(targets) ? targets.map((target) => `${group} ${JSON.stringify(target).match(/"Id":"([^"]*)"/)?.[1]}`) : [];
}
function targetHealth(
  exchange: Exchange,
  xml: string,
  young: (exchange: Exchange, id: string) => boolean,
  healthy: (target: string) => boolean,
): string {
  const group = textOf(exchange.call.params, 'TargetGroupArn') ?? '';
  return xml.replace(/<member>.*?<\/TargetHealth>/gs, (member) => {
    const target = textsOf(member, 'Id')[0] ?? '';
    const as = (state: string, reason: string): string =>
      member.replace(/<TargetHealth>.*$/s, `<TargetHealth><State>${state}</State><Reason>${reason}</Reason></TargetHealth>`);
    if (!member.includes('<State>healthy</State>')) return member;
    if (young(exchange, `${group} ${target}`)) return as('initial', 'Elb.RegistrationInProgress');
    return healthy(target) ? member : as('unhealthy', 'Target.FailedHealthChecks');
  });
}
