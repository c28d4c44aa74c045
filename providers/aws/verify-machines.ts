import { DescribeImagesCommand, paginateDescribeInstanceTypeOfferings } from '@aws-sdk/client-ec2';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Finding } from '../../src/config/finding.ts';
import { known } from './known.ts';
import { s3Store } from './s3-store.ts';
import { type Check, ok, unasked, type Verifying } from './verify-check.ts';
import { all, typesOf, type World } from './verify-world.ts';

/** Zones that are there, machine types that are offered in them and run amd64, an image to start them from. */
export const verifyMachines: Check = async (of, world) => {
  const parts = [
    ['aws.zones', 'the zones', zones],
    ['aws.machine-types', 'the machine types', types],
    ['aws.image', 'the machine image', image],
  ] as const;
  const found = await Promise.all(
    parts.map(async ([check, what, ask]) => {
      try {
        return await ask(of, world);
      } catch (error) {
        of.signal.throwIfAborted();
        return [unasked(check, what, error)];
      }
    }),
  );
  return found.flat();
};

async function zones({ topology, region }: Verifying, world: World): Promise<readonly Finding[]> {
  const check = 'aws.zones';
  const there = await world.zones();
  const usable = there.filter(({ ZoneType }) => ZoneType === undefined || ZoneType === 'availability-zone');
  const names = usable.flatMap(({ ZoneName }) => ZoneName ?? []);
  const findings = topology.zones.flatMap((zone): Finding[] => {
    const found = there.find(({ ZoneName }) => ZoneName === zone);
    const base = { check, where: 'zones', next: `zones of ${region}: ${names.join(', ')}` };
    if (!found) return [{ ...base, severity: 'error', what: `zone ${zone} is not in region ${region} for this account` }];
    if (!usable.includes(found))
      return [
        {
          ...base,
          severity: 'error',
          what: `${zone} is a ${found.ZoneType}, which has no NAT gateways nor network load balancers`,
        },
      ];
    if (found.State === 'available') return [];
    const why = (found.Messages ?? []).flatMap(({ Message }) => Message ?? []).join(' ');
    return [{ ...base, severity: 'error', what: `zone ${zone} is ${found.State}`, ...(why !== '' && { why }) }];
  });
  return findings.length > 0 ? findings : [ok(check, `zones ${topology.zones.join(', ')} are available`)];
}

interface Use {
  readonly who: string;
  readonly where: string;
  readonly zone: string;
  /** Best first; any of them does. */
  readonly types: readonly string[];
}
export function usesOf({ machines, groups, cluster }: Topology): readonly Use[] {
  const paths: Readonly<Record<string, string>> = { bastion: 'bastion', etcd: 'etcd', master: 'masters' };
  return [
    ...machines.map(({ role, zone, instanceType }) => ({
      who: role === 'bastion' ? 'the bastion' : role === 'etcd' ? 'etcd' : 'masters',
      where: `${paths[role] ?? role}.machine.type`,
      zone,
      types: [instanceType],
    })),
    ...groups.flatMap(({ pool, zone }) => {
      const found = cluster.pools.find(({ name }) => name === pool);
      return found
        ? [{ who: `pool ${pool}`, where: `pools.${pool}.machine.type`, zone, types: [found.machine.type, ...found.alternatives] }]
        : [];
    }),
  ];
}

/** The field that names this type. */
function whereOf({ types: [first, ...others], where }: Use, type: string): readonly string[] {
  if (first === type) return [where];
  return others.includes(type) ? [where.replace(/machine\.type$/, 'alternatives')] : [];
}

async function types({ sdk, topology, region, signal }: Verifying, world: World): Promise<readonly Finding[]> {
  const check = 'aws.machine-types';
  const wanted = [...typesOf(topology)];
  const Filters = [
    { Name: 'instance-type', Values: wanted },
    { Name: 'location', Values: [...topology.zones] },
  ];
  const pages = paginateDescribeInstanceTypeOfferings(
    { client: sdk.ec2, pageSize: 1000 },
    { LocationType: 'availability-zone', Filters },
  );
  const [offered, known, there] = await Promise.all([
    all(pages, signal, (page) => page.InstanceTypeOfferings),
    world.types(),
    world.zones(),
  ]);
  // That a zone is not there is said once, by the zones.
  const isThere = (zone: string): boolean => there.some(({ ZoneName }) => ZoneName === zone);
  const inZone = new Set(offered.map(({ InstanceType, Location }) => `${InstanceType} ${Location}`));
  const findings: Finding[] = [];
  for (const type of wanted) {
    const where = [...new Set(usesOf(topology).flatMap((use) => whereOf(use, type)))].join(', ');
    const info = known.get(type);
    if (!info) {
      findings.push({
        severity: 'error',
        check,
        where,
        what: `there is no machine type ${type} in ${region}`,
        next: 'choose another type',
      });
      continue;
    }
    const architectures = info.ProcessorInfo?.SupportedArchitectures ?? [];
    if (architectures.length > 0 && !architectures.includes('x86_64'))
      findings.push({
        severity: 'error',
        check,
        where,
        what: `${type} is ${architectures.join(', ')}, and machines run programs for amd64`,
        next: 'choose a type of Intel or AMD: m7i, m7a, c7i, r7i, t3',
      });
  }
  const said = new Set<string>();
  for (const { who, where, zone, types: any } of usesOf(topology)) {
    const missing = any.filter((type) => known.has(type) && !inZone.has(`${type} ${zone}`));
    const key = `${who} ${zone}`;
    if (missing.length === 0 || said.has(key) || !isThere(zone)) continue;
    said.add(key);
    const none = missing.length === any.length;
    findings.push({
      severity: none ? 'error' : 'warning',
      check,
      where,
      what: `${missing.join(', ')} of ${who} ${missing.length === 1 ? 'is' : 'are'} not offered in zone ${zone}`,
      ...(!none && { why: 'its group there can take the other types only' }),
      next: `choose a type that zone offers, or other zones: aws ec2 describe-instance-type-offerings --region ${region} --location-type availability-zone --filters Name=location,Values=${zone}`,
    });
  }
  return findings.length > 0
    ? findings
    : [
        ok(
          check,
          `${wanted.length === 1 ? wanted[0] : `${wanted.length} machine types`}: offered in every zone that needs them, amd64`,
        ),
      ];
}

async function image({ sdk, account, bucket, topology, region, signal }: Verifying): Promise<readonly Finding[]> {
  const check = 'aws.image';
  const { owner = '', name = '' } = topology.cluster.provider.aws?.image ?? {};
  const Filters = [
    { Name: 'name', Values: [name] },
    { Name: 'state', Values: ['available'] },
  ];
  const [{ Images = [] }, pinned] = await Promise.all([
    sdk.ec2.send(new DescribeImagesCommand({ Owners: [owner], Filters }), { abortSignal: signal }),
    // No store, no record: that is a new cluster.
    known({ store: s3Store(sdk.s3, bucket, account) }).then(
      ({ image: record }) => (record?.owner === owner && record.name === name ? record.id : undefined),
      () => undefined,
    ),
  ]);
  const [latest] = Images.toSorted((a, b) => ((a.CreationDate ?? '') < (b.CreationDate ?? '') ? 1 : -1));
  const base = { check, where: 'provider.aws.image' };
  const newest = pinned === undefined ? latest : Images.find(({ ImageId }) => ImageId === pinned);
  if (!newest && pinned !== undefined)
    return [
      {
        ...base,
        severity: 'error',
        what: `the image ${pinned}, from which the machines of this cluster start, is not there any more`,
        why: 'machines that must be made anew could not be',
        next: `name another (${latest?.Name ?? 'none fits the name now'}) in provider.aws.image`,
      },
    ];
  if (!newest)
    return [
      {
        ...base,
        severity: 'error',
        what: `no machine image of owner ${owner} in ${region} is called ${name}`,
        next: `see what is there: aws ec2 describe-images --region ${region} --owners ${owner} --query 'Images[].Name'`,
      },
    ];
  const named = `${newest.Name ?? name} (${newest.ImageId})`;
  if (newest.Architecture !== undefined && newest.Architecture !== 'x86_64')
    return [
      {
        ...base,
        severity: 'error',
        what: `image ${named} is for ${newest.Architecture}, and machines are amd64`,
        next: 'name an image for x86_64',
      },
    ];
  if (newest.RootDeviceType !== undefined && newest.RootDeviceType !== 'ebs')
    return [
      {
        ...base,
        severity: 'error',
        what: `image ${named} does not start from EBS`,
        next: 'name an image with an EBS root volume',
      },
    ];
  return [ok(check, `machines start from ${named}`)];
}
