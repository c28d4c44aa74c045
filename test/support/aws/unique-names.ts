import { type Answer, refuse } from './answers.ts';
import { type Behaviour, type Exchange, textOf } from './exchange.ts';
import { textsOf } from './xml.ts';

interface Named {
  /** What may exist once. */
  key(exchange: Exchange): string;
  exists(exchange: Exchange): Promise<boolean>;
  readonly taken: string;
  /** The same request again gives the first answer (load balancing says so of its creates); false: it is refused like any other. */
  readonly repeatable: boolean;
}
const param =
  (...names: string[]) =>
  ({ call: { params } }: Exchange): string =>
    names.map((name) => String(params[name])).join(' ');

const named: Readonly<Record<string, Named>> = {
  'elasticloadbalancing.CreateLoadBalancer': {
    key: param('Name'),
    exists: async ({ call, ask }) => {
      const name = textOf(call.params, 'Name') ?? '';
      const found = await ask('elasticloadbalancing', 'DescribeLoadBalancers', { 'Names.member.1': name });
      return textsOf(found, 'LoadBalancerName').includes(name);
    },
    taken: 'DuplicateLoadBalancerName',
    repeatable: true,
  },
  'elasticloadbalancing.CreateTargetGroup': {
    key: param('Name'),
    exists: async ({ call, ask }) => {
      const name = textOf(call.params, 'Name') ?? '';
      const found = await ask('elasticloadbalancing', 'DescribeTargetGroups', { 'Names.member.1': name });
      return textsOf(found, 'TargetGroupName').includes(name);
    },
    taken: 'DuplicateTargetGroupName',
    repeatable: true,
  },
  'elasticloadbalancing.CreateListener': {
    key: param('LoadBalancerArn', 'Port'),
    exists: async ({ call, ask }) => {
      const arn = textOf(call.params, 'LoadBalancerArn') ?? '';
      const found = await ask('elasticloadbalancing', 'DescribeListeners', { LoadBalancerArn: arn });
      return textsOf(found, 'Port').includes(String(call.params.Port));
    },
    taken: 'DuplicateListener',
    repeatable: true,
  },
  'autoscaling.CreateAutoScalingGroup': {
    key: param('AutoScalingGroupName'),
    exists: async ({ call, ask }) => {
      const name = textOf(call.params, 'AutoScalingGroupName') ?? '';
      const found = await ask('autoscaling', 'DescribeAutoScalingGroups', { 'AutoScalingGroupNames.member.1': name });
      return textsOf(found, 'AutoScalingGroupName').includes(name);
    },
    taken: 'AlreadyExists',
    repeatable: false,
  },
};

/** Names that exist once: moto makes a second load balancer, and lets a second group take the place of the first. */
export function uniqueNames(): Behaviour {
  const first = new Map<string, { readonly request: string; readonly answer: Answer }>();
  const keyOf = (exchange: Exchange, { key }: Named): string =>
    `${exchange.call.account} ${exchange.decoded.region} ${exchange.call.action} ${key(exchange)}`;
  return {
    async before(exchange) {
      const { call } = exchange;
      const rule = named[`${call.service}.${call.action}`];
      if (!rule || !(await rule.exists(exchange))) return undefined;
      const before = first.get(keyOf(exchange, rule));
      if (rule.repeatable && before?.request === JSON.stringify(call.params)) return before.answer;
      return refuse(rule.taken, `${rule.key(exchange)} is there already`);
    },
    after(exchange, answer) {
      const { call } = exchange;
      const rule = named[`${call.service}.${call.action}`];
      if (rule && answer.status < 300) first.set(keyOf(exchange, rule), { request: JSON.stringify(call.params), answer });
      return answer;
    },
  };
}

/** A caller's reference names one hosted zone, for ever: moto makes another. */
export function callerReferences(): Behaviour {
  const used = new Set<string>();
  const keyOf = ({ call }: Exchange): string | undefined =>
    call.service === 'route53' && call.action === 'CreateHostedZone'
      ? `${call.account} ${textOf(call.params, 'CallerReference')}`
      : undefined;
  return {
    before(exchange) {
      const key = keyOf(exchange);
      if (key === undefined || !used.has(key)) return undefined;
      return refuse('HostedZoneAlreadyExists', 'A hosted zone has already been created with the specified caller reference', 409);
    },
    after(exchange, answer) {
      const key = keyOf(exchange);
      if (key !== undefined && answer.status < 300) used.add(key);
      return answer;
    },
  };
}
