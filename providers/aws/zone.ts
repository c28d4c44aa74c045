import {
  type Change,
  ChangeResourceRecordSetsCommand,
  CreateHostedZoneCommand,
  DeleteHostedZoneCommand,
  type HostedZone,
  ListHostedZonesByNameCommand,
  ListResourceRecordSetsCommand,
  type ListResourceRecordSetsCommandInput,
  type ListResourceRecordSetsCommandOutput,
  type ResourceRecordSet,
  type VPCRegion,
} from '@aws-sdk/client-route-53';
import { fields } from '../../src/plan/fields.ts';
import type { Address, Observation, Ref, Resolved, ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { shown } from './ec2.ts';
import { codeOf, retrying, unlessNotFound } from './errors.ts';
import { createWithToken } from './idempotency.ts';
import { known, remember } from './known.ts';

/** `api` → what it stands for: an address, or a balancer. */
export interface ZoneRecord {
  readonly address?: string;
  readonly alias?: Ref<string>;
  readonly aliasZone?: Ref<string>;
}
export interface ZoneProps {
  /** `demo.internal` */
  readonly domain: string;
  readonly vpc: Ref<string>;
  readonly records: Readonly<Record<string, ZoneRecord>>;
}
export interface ZoneOutputs {
  readonly id: string;
}

/** The private zone of the cluster. Whose it is stands in its comment: that is given with the call that makes it, tags are not. */
export const zone: ResourceType<ZoneProps, ZoneOutputs, AwsClients> = {
  name: 'aws.zone',
  dependsOn: ['aws.vpc'],
  async observe(world) {
    const { clients } = world;
    const found = new Map<Address, Observation<ZoneProps, ZoneOutputs>>();
    const own = await readZone(clients, (await world.read(known)).zone);
    if (!own) return found;
    found.set('aws.zone/internal', {
      state: 'present',
      props: { domain: domainOf(clients), vpc: '', records: recordsFrom(own.sets, domainOf(clients)) },
      outputs: { id: own.id },
    });
    return found;
  },
  diff(desired, observed) {
    // A record of somebody else in our zone is not ours to judge.
    const records = Object.fromEntries(Object.entries(observed.records).filter(([name]) => name in desired.records));
    return fields<ZoneProps>({ domain: 'replace', vpc: 'ignore', records: 'none' })(desired, { ...observed, records });
  },
  async create(props, ctx) {
    const { route53, region } = ctx.clients;
    const id = await createWithToken(ctx, { domain: props.domain, vpc: props.vpc }, async (token) => {
      try {
        const { HostedZone } = await route53.send(
          new CreateHostedZoneCommand({
            Name: props.domain,
            CallerReference: token,
            VPC: { VPCId: props.vpc, ...(isRegion(region) && { VPCRegion: region }) },
            HostedZoneConfig: { Comment: commentOf(ctx.clients), PrivateZone: true },
          }),
        );
        return idOf(HostedZone?.Id);
      } catch (error) {
        // The same token again: it is there.
        const there = codeOf(error) === 'HostedZoneAlreadyExists' ? await shown(ctx, () => findZone(ctx.clients)) : undefined;
        if (!there) throw error;
        return idOf(there.Id);
      }
    });
    await Promise.all([write(ctx.clients, id, props), remember(ctx.clients, { zone: id })]);
    return { id };
  },
  async update(props, outputs, ctx) {
    await Promise.all([write(ctx.clients, outputs.id, props), remember(ctx.clients, { zone: outputs.id })]);
    return outputs;
  },
  async delete({ id }, ctx) {
    const { route53 } = ctx.clients;
    await retrying(['HostedZoneNotEmpty'], ctx, async () => {
      const sets = (await setsOf(ctx.clients, id).catch(unlessNotFound)) ?? [];
      const Changes = sets
        .filter(({ Type }) => Type !== 'NS' && Type !== 'SOA')
        .map((ResourceRecordSet): Change => ({ Action: 'DELETE', ResourceRecordSet }));
      if (Changes.length > 0)
        await route53
          .send(new ChangeResourceRecordSetsCommand({ HostedZoneId: id, ChangeBatch: { Changes } }))
          .catch(unlessNotFound);
      await route53.send(new DeleteHostedZoneCommand({ Id: id })).catch(unlessNotFound);
    });
    await remember(ctx.clients, { zone: undefined });
  },
};

/** Whether Route 53 knows the region is its to say, not this SDK's list. */
const isRegion = (region: string): region is VPCRegion => region !== '';
const ttl = 60;
const domainOf = ({ owner }: AwsClients): string => `${owner.cluster}.internal`;
const commentOf = ({ owner, account, region }: AwsClients): string => `slipway.dev/cluster=${owner.cluster} ${account} ${region}`;
const idOf = (id = ''): string => id.replace(/^\/hostedzone\//, '');
const withoutDot = (name = ''): string => name.replace(/\.$/, '').toLowerCase();

/** UPSERT makes or changes; records of our names are all of type A. */
async function write({ route53 }: AwsClients, id: string, { domain, records }: Resolved<ZoneProps>): Promise<void> {
  const Changes = Object.entries(records).map(([name, record]): Change => {
    const Name = `${name}.${domain}`;
    return {
      Action: 'UPSERT',
      ResourceRecordSet: record.alias
        ? {
            Name,
            Type: 'A',
            AliasTarget: { DNSName: record.alias, HostedZoneId: record.aliasZone, EvaluateTargetHealth: false },
          }
        : { Name, Type: 'A', TTL: ttl, ResourceRecords: [{ Value: record.address }] },
    };
  });
  if (Changes.length > 0) await route53.send(new ChangeResourceRecordSetsCommand({ HostedZoneId: id, ChangeBatch: { Changes } }));
}

function recordsFrom(sets: readonly ResourceRecordSet[], domain: string): Resolved<ZoneProps>['records'] {
  return Object.fromEntries(
    sets.flatMap(({ Name, Type, AliasTarget, ResourceRecords = [] }) => {
      const name = withoutDot(Name);
      if (Type !== 'A' || !name.endsWith(`.${domain}`)) return [];
      const record = AliasTarget
        ? { alias: withoutDot(AliasTarget.DNSName), aliasZone: AliasTarget.HostedZoneId ?? '' }
        : { address: ResourceRecords.map(({ Value }) => Value).join(' ') };
      return [[name.slice(0, -domain.length - 1), record]];
    }),
  );
}

interface OwnZone {
  readonly id: string;
  readonly sets: readonly ResourceRecordSet[];
}
/** The one that is known; else the one that says that it is ours. One that goes while it is looked at is absent. */
async function readZone(clients: AwsClients, id: string | undefined): Promise<OwnZone | undefined> {
  const sets = id === undefined ? undefined : await setsOf(clients, id).catch(unlessNotFound);
  if (id !== undefined && sets) return { id, sets };
  const found = await findZone(clients);
  if (!found) return undefined;
  const own = idOf(found.Id);
  const there = await setsOf(clients, own).catch(unlessNotFound);
  return there && { id: own, sets: there };
}

/** Other VPCs may have private zones of the same name: ours says whose it is. */
async function findZone(clients: AwsClients): Promise<HostedZone | undefined> {
  const domain = domainOf(clients);
  const { HostedZones = [] } = await clients.route53.send(new ListHostedZonesByNameCommand({ DNSName: domain }));
  return HostedZones.find(({ Name, Config }) => withoutDot(Name) === domain && Config?.Comment === commentOf(clients));
}

/** The SDK has no paginator for this call. */
async function setsOf({ route53 }: AwsClients, id: string): Promise<readonly ResourceRecordSet[]> {
  const sets: ResourceRecordSet[] = [];
  for (let from: Partial<ListResourceRecordSetsCommandInput> | undefined = {}; from; ) {
    const page: ListResourceRecordSetsCommandOutput = await route53.send(
      new ListResourceRecordSetsCommand({ HostedZoneId: id, ...from }),
    );
    sets.push(...(page.ResourceRecordSets ?? []));
    from = page.IsTruncated
      ? {
          StartRecordName: page.NextRecordName,
          StartRecordType: page.NextRecordType,
          StartRecordIdentifier: page.NextRecordIdentifier,
        }
      : undefined;
  }
  return sets;
}
