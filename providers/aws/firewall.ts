import {
  AuthorizeSecurityGroupEgressCommand,
  AuthorizeSecurityGroupIngressCommand,
  DescribeSecurityGroupsCommand,
  type IpPermission,
  RevokeSecurityGroupEgressCommand,
  RevokeSecurityGroupIngressCommand,
  type SecurityGroup,
} from '@aws-sdk/client-ec2';
import { UserError } from '../../src/errors.ts';
import type { Address, Context, FieldChange, Observation, Ref, Resolved, ResourceType } from '../../src/plan/resource.ts';
import { addressOf, nameOf } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { ownOf, visible } from './ec2.ts';
import { codeOf, unlessNotFound } from './errors.ts';
import { permissionOf, type Rule, rulesOf } from './firewall-rules.ts';
import { securityGroups } from './network-queries.ts';
import { securityGroup } from './security-group.ts';

/** `tcp 2379 from master` → what for. */
export type Rules = Readonly<Record<string, string>>;
export interface FirewallProps {
  /** IDs of the groups that the rules name. */
  readonly groups: Readonly<Record<string, Ref<string>>>;
  readonly ingress: Rules;
  readonly egress: Rules;
}
export interface FirewallOutputs {
  /** Of its group. */
  readonly id: string;
}

/**
 * All rules of the security group of the same name. One that somebody added is drift, and goes; those of Kubernetes' controllers stay.
 * Removed before any group is deleted: a group that a rule names cannot be.
 */
export const firewall: ResourceType<FirewallProps, FirewallOutputs, AwsClients> = {
  name: 'aws.firewall',
  dependsOn: ['aws.security-group'],
  async observe(world) {
    const { cluster } = world.clients.owner;
    const groups = await world.read(securityGroups);
    const own = ownOf(groups, { cluster, type: securityGroup.name, idOf: ({ GroupId }) => GroupId });
    const names = namesOf(own);
    const found = new Map<Address, Observation<FirewallProps, FirewallOutputs>>();
    for (const { thing, address } of own) {
      const { ingress, egress } = rulesOf(thing, names, controllersGroups(groups, names));
      // A group without any rule has none of ours: what `delete` leaves.
      if (ingress.length + egress.length > 0)
        found.set(addressOf('aws.firewall', nameOf(address)), {
          state: 'present',
          props: {
            groups: Object.fromEntries([...names].map(([id, name]) => [name, id])),
            ingress: textsOf(ingress),
            egress: textsOf(egress),
          },
          outputs: { id: thing.GroupId ?? '' },
        });
    }
    return found;
  },
  diff: (desired, observed) => [
    ...ruleChanges('ingress', desired.ingress, observed.ingress),
    ...ruleChanges('egress', desired.egress, observed.egress),
  ],
  async create(props, ctx) {
    return { id: await converge(props, ctx) };
  },
  async update(props, _outputs, ctx) {
    return { id: await converge(props, ctx) };
  },
  async delete({ id }, ctx) {
    await readingAnew(async () => {
      const group = await describe(id, ctx).catch(unlessNotFound);
      if (!group) return;
      const { ingress, egress } = rulesOf(group, new Map(), new Set());
      await revoke(id, 'ingress', ingress, ctx);
      await revoke(id, 'egress', egress, ctx);
    });
  },
};

/** Of a rule without a description. */
const open = 'open';
function ruleChanges(side: 'ingress' | 'egress', desired: Rules, observed: Rules): readonly FieldChange[] {
  const change = (rule: string, before: string | null, after: string | null): FieldChange => ({
    path: `${side}.${rule}`,
    before: before === '' ? open : before,
    after: after === '' ? open : after,
    impact: 'none',
  });
  return [
    ...Object.entries(desired).flatMap(([rule, why]) => (rule in observed ? [] : [change(rule, null, why)])),
    ...Object.entries(observed).flatMap(([rule, why]) => (rule in desired ? [] : [change(rule, why, null)])),
  ];
}

const textsOf = (rules: readonly Rule[]): Rules =>
  Object.fromEntries(rules.filter(({ foreign }) => !foreign).map(({ text, why }) => [text, why]));
/** ID → the name by which rules are shown. */
const namesOf = (own: readonly { readonly thing: SecurityGroup; readonly address: Address }[]): ReadonlyMap<string, string> =>
  new Map(own.map(({ thing, address }) => [thing.GroupId ?? '', nameOf(address)]));
const controllersGroups = (groups: readonly SecurityGroup[], own: ReadonlyMap<string, string>): ReadonlySet<string> =>
  new Set(groups.flatMap(({ GroupId = '' }) => (own.has(GroupId) ? [] : [GroupId])));

async function converge(props: Resolved<FirewallProps>, ctx: Context<AwsClients>): Promise<string> {
  const { clients } = ctx;
  const { cluster } = clients.owner;
  const id = props.groups[nameOf(ctx.address)];
  if (id === undefined) throw new Error(`${ctx.address} names no group of its own`);
  await readingAnew(async () => {
    const groups = await securityGroups(clients);
    const own = ownOf(groups, { cluster, type: securityGroup.name, idOf: ({ GroupId }) => GroupId });
    // Some may not be in the list yet.
    const names = new Map([...namesOf(own), ...Object.entries(props.groups).map(([name, group]) => [group, name] as const)]);
    const group = groups.find(({ GroupId }) => GroupId === id) ?? (await visible(ctx, () => describe(id, ctx)));
    const there = rulesOf(group, names, controllersGroups(groups, names));
    for (const side of ['ingress', 'egress'] as const) {
      const missing = Object.entries(props[side]).filter(([text]) => !there[side].some((rule) => rule.text === text));
      const permissions = missing.map(([text, why]) => permissionOf(text, why, props.groups));
      if (missing.length > 0) await visible(ctx, () => authorize(id, side, permissions, ctx));
      const extra = there[side].filter(({ text, foreign }) => !foreign && !(text in props[side]));
      await revoke(id, side, extra, ctx);
    }
  });
  return id;
}

/** The SDK asks again after a lost answer, and somebody may change a group at the same time: then what is there is read anew. */
async function readingAnew(act: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await act();
      return;
    } catch (error) {
      if (!/^InvalidPermission\.(Duplicate|NotFound)$/.test(codeOf(error)) || attempt === 3) throw error;
    }
  }
}

type Side = 'ingress' | 'egress';
async function authorize(id: string, side: Side, permissions: IpPermission[], { clients }: Context<AwsClients>): Promise<void> {
  const input = { GroupId: id, IpPermissions: permissions };
  if (side === 'ingress') await clients.ec2.send(new AuthorizeSecurityGroupIngressCommand(input));
  else await clients.ec2.send(new AuthorizeSecurityGroupEgressCommand(input));
}

async function revoke(id: string, side: Side, rules: readonly Rule[], { clients }: Context<AwsClients>): Promise<void> {
  if (rules.length === 0) return;
  const input = { GroupId: id, IpPermissions: rules.map(({ permission }) => permission) };
  if (side === 'ingress') await clients.ec2.send(new RevokeSecurityGroupIngressCommand(input));
  else await clients.ec2.send(new RevokeSecurityGroupEgressCommand(input));
}

async function describe(id: string, { clients, address }: Context<AwsClients>): Promise<SecurityGroup> {
  const { SecurityGroups: [found] = [] } = await clients.ec2.send(new DescribeSecurityGroupsCommand({ GroupIds: [id] }));
  if (!found) throw new UserError({ what: `security group ${id} is gone`, where: address, next: 'run the same command again' });
  return found;
}
