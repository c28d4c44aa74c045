import { type Answer, refuse } from './answers.ts';
import { type Behaviour, type Exchange, textOf, withBody } from './exchange.ts';
import type { Model, Service, Shape } from './model.ts';
import { listing } from './xml.ts';

/** EC2's list calls: the list in the answer, and what in an item says which thing it is. */
const identities: Readonly<Record<string, string>> = {
  DescribeAddresses: 'allocationId',
  DescribeInstances: 'instanceId',
  DescribeInternetGateways: 'internetGatewayId',
  DescribeLaunchTemplates: 'launchTemplateId',
  DescribeNatGateways: 'natGatewayId',
  DescribeNetworkInterfaces: 'networkInterfaceId',
  DescribeRouteTables: 'routeTableId',
  DescribeSecurityGroupRules: 'groupId',
  DescribeSecurityGroups: 'groupId',
  DescribeSubnets: 'subnetId',
  DescribeTags: 'resourceId',
  DescribeVolumes: 'volumeId',
  DescribeVpcEndpoints: 'vpcEndpointId',
  DescribeVpcs: 'vpcId',
};
/** The thing of an item; undefined for lists that tell of no things. */
export const identityOf = (action: string, item: string): string | undefined => {
  const name = identities[action];
  return name === undefined ? undefined : new RegExp(`<${name}>([^<]*)`).exec(item)?.[1];
};

/** The list of an EC2 answer that comes in pages; undefined for what answers in one. */
export function listOf(service: Service, model: Model, action: string): string | undefined {
  if (service !== 'ec2') return undefined;
  const output: Shape | undefined = model.shapes[model.operations[action]?.output?.shape ?? ''];
  if (!output?.members?.NextToken) return undefined;
  const found = Object.entries(output.members).find(([, { shape }]) => model.shapes[shape]?.type === 'list');
  return found && (found[1].locationName ?? found[0]);
}

interface Rest {
  readonly before: string;
  readonly items: readonly string[];
  readonly after: string;
}

/**
 * Pages as EC2 makes them. moto takes MaxResults in few calls, counts reservations instead of instances, and cuts some lists at 15 or
 * 100 by itself; so it is asked for all at once, and what it answers is cut here.
 */
export interface Pages extends Behaviour {
  /** The body for moto: without the client's own paging. */
  whole(exchange: Exchange, body: Buffer): Buffer;
  /** Cuts an answer to what the client asked for, without the things that `hidden` names. */
  cut(exchange: Exchange, answer: Answer, hidden: (id: string) => boolean): Answer;
}
export function pages(mostItems: () => number): Pages {
  const kept = new Map<string, { rest: Rest; headers: Answer['headers'] }>();
  let made = 0;
  const sizeOf = ({ call }: Exchange): number => {
    const asked = call.params.MaxResults;
    return Math.min(typeof asked === 'number' ? asked : mostItems(), mostItems());
  };
  const pageOf = (exchange: Exchange, { before, items, after }: Rest, headers: Answer['headers']): Answer => {
    const size = sizeOf(exchange);
    const rest = items.slice(size);
    let end = after.replace(/<nextToken>[^<]*<\/nextToken>|<nextToken\/>/, '');
    if (rest.length > 0) {
      const token = `page-${++made}`;
      kept.set(token, { rest: { before, items: rest, after }, headers });
      end = end.replace('>', `><nextToken>${token}</nextToken>`);
    }
    return { status: 200, headers, body: Buffer.from(before + items.slice(0, size).join('') + end) };
  };
  return {
    /** A page that was kept. */
    before(exchange) {
      const token = textOf(exchange.call.params, 'NextToken');
      const { service, model, action } = exchange.decoded;
      if (token === undefined || listOf(service, model, action) === undefined) return undefined;
      const page = kept.get(token);
      return page ? pageOf(exchange, page.rest, page.headers) : refuse('InvalidNextToken', `The token '${token}' is invalid`);
    },
    whole({ decoded: { service, model, action, params } }, body) {
      if (listOf(service, model, action) === undefined) return body;
      const form = new URLSearchParams(body.toString());
      form.delete('MaxResults');
      const ids = Array.isArray(params.InstanceIds) ? params.InstanceIds.length : 0;
      // moto cuts the list of many ids too, and refuses MaxResults beside them: as a filter they are taken whole.
      if (action === 'DescribeInstances' && ids > 100) idsAsFilter(form);
      if (/^Describe(Instances|LaunchTemplates|LaunchTemplateVersions)$/.test(action) && (ids === 0 || ids > 100))
        form.set('MaxResults', '1000000');
      return Buffer.from(form.toString());
    },
    cut(exchange, answer, hidden) {
      const { service, model, action } = exchange.decoded;
      const name = listOf(service, model, action);
      if (name === undefined || answer.status !== 200) return answer;
      const xml = answer.body.toString();
      const found = listing(xml, name);
      if (!found) return answer;
      const each = action === 'DescribeInstances' ? found.items.flatMap(oneInstanceEach) : found.items;
      const seen = each.filter((item) => {
        const id = identityOf(action, item);
        return id === undefined || !hidden(id);
      });
      if (seen.length < each.length) exchange.call.met = 'hidden';
      const headers = { 'content-type': answer.headers['content-type'] };
      if (seen.length <= sizeOf(exchange) && seen.length === each.length && !found.after.includes('<nextToken>'))
        return withBody({ ...answer, headers }, xml);
      return pageOf(exchange, { ...found, items: seen }, headers);
    },
  };
}

/** A reservation of many as many of one, as EC2 does where a page ends within it. */
function oneInstanceEach(reservation: string): string[] {
  const found = listing(reservation, 'instancesSet');
  return found && found.items.length > 1 ? found.items.map((item) => found.before + item + found.after) : [reservation];
}

function idsAsFilter(form: URLSearchParams): void {
  const given = [...form].filter(([key]) => key.startsWith('InstanceId.'));
  const filter = [...form.keys()].filter((key) => /^Filter\.\d+\.Name$/.test(key)).length + 1;
  form.set(`Filter.${filter}.Name`, 'instance-id');
  for (const [n, [key, id]] of given.entries()) {
    form.delete(key);
    form.set(`Filter.${filter}.Value.${n + 1}`, id);
  }
}
