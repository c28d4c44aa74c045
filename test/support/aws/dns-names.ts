import { type Behaviour, textOf, withBody } from './exchange.ts';

/** An instance with a public address has a public name where both DNS attributes of its VPC are on: moto gives it one everywhere. */
export function dnsNames(): Behaviour {
  const vpcs = new Map<string, { support: boolean; hostnames: boolean }>();
  const on = (value: unknown): boolean | undefined =>
    typeof value === 'object' && value !== null && 'Value' in value ? String(value.Value) === 'true' : undefined;
  return {
    after({ call }, answer) {
      if (call.service !== 'ec2' || answer.status >= 300) return answer;
      if (call.action === 'ModifyVpcAttribute') {
        const key = `${call.account} ${textOf(call.params, 'VpcId')}`;
        const { support, hostnames } = vpcs.get(key) ?? { support: true, hostnames: false };
        vpcs.set(key, {
          support: on(call.params.EnableDnsSupport) ?? support,
          hostnames: on(call.params.EnableDnsHostnames) ?? hostnames,
        });
      }
      if (call.action !== 'DescribeInstances' || answer.body.length === 0) return answer;
      const instances = answer.body.toString().split(/(?=<item>\s*<instanceId>)/);
      const named = instances.map((xml) => {
        const { support, hostnames } = vpcs.get(`${call.account} ${/<vpcId>([^<]*)/.exec(xml)?.[1]}`) ?? {};
        return support && hostnames ? xml : xml.replace(/<dnsName>[^<]*<\/dnsName>/, '<dnsName/>');
      });
      return withBody(answer, named.join(''));
    },
  };
}
