import type { AutoScalingGroup } from '@aws-sdk/client-auto-scaling';
import {
  DescribeLaunchTemplateVersionsCommand,
  type LaunchTemplateVersion,
  type RequestLaunchTemplateData,
  type ResponseLaunchTemplateData,
} from '@aws-sdk/client-ec2';
import { z } from 'zod';
import { parseJson, sha256 } from '../../src/plan/canonical.ts';
import { type Address, nameOf } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { isNotFound } from './errors.ts';
import { factsOf, forgetFact, keepFact } from './facts.ts';
import { templateOf } from './group-size.ts';
import { groups, templates } from './machine-queries.ts';
import { resourceIn, type Tag, tagsFrom } from './tags.ts';
import { type Look, templateTags } from './told.ts';

/**
 * What pools' machines are made from. A version of a launch template never changes: AWS adds others beside it. So what stands in the version that
 * groups launch is a fact (facts.ts), kept with its number; and which one they launch, and whether it is still that one, is in the groups' own
 * answer. Which version is the template's default says nothing: no group launches by it. But AWS refuses to delete that one, so it is always made
 * the one that groups launch. Who makes another the default and then deletes the one in use leaves groups that can launch nothing: as soon as one
 * has fewer members than it wants, it is asked whether there is a version still.
 */
const contentSchema = z.strictObject({
  image: z.string(),
  /** Of the root volume. */
  device: z.string(),
  type: z.string(),
  profile: z.string(),
  securityGroups: z.array(z.string()),
  rootGb: z.number(),
  kmsKey: z.string().nullable(),
  metadata: z.strictObject({ tokens: z.string(), hopLimit: z.number(), tags: z.string() }),
  /** SHA-256 of the user data. */
  boot: z.string(),
  volumeTags: z.record(z.string(), z.string()),
});
export type TemplateContent = z.infer<typeof contentSchema>;

interface Version {
  readonly id: string;
  readonly version: string;
}
interface Template extends Version {
  readonly content: TemplateContent;
}
interface Seen extends Template {
  readonly tags: readonly Tag[];
}

export const templateName = (cluster: string, address: Address): string => `${cluster}-${nameOf(address)}`;

export function keepTemplate(
  clients: Pick<AwsClients, 'facts'>,
  { id, version }: Version,
  data: RequestLaunchTemplateData | ResponseLaunchTemplateData,
): void {
  keepContent(clients, { id, version, content: contentOf(data) });
}
const keepContent = (clients: Pick<AwsClients, 'facts'>, { id, version, content }: Template): void =>
  keepFact(clients, id, { version, content: JSON.stringify(content) });

function contentOf(data: RequestLaunchTemplateData | ResponseLaunchTemplateData): TemplateContent {
  const [root] = data.BlockDeviceMappings ?? [];
  const volumeTags = data.TagSpecifications?.find(({ ResourceType }) => ResourceType === 'volume')?.Tags;
  return {
    image: data.ImageId ?? '',
    device: root?.DeviceName ?? '',
    type: data.InstanceType ?? '',
    profile: data.IamInstanceProfile?.Arn ?? '',
    securityGroups: [...(data.SecurityGroupIds ?? [])].sort(),
    rootGb: root?.Ebs?.VolumeSize ?? 0,
    kmsKey: root?.Ebs?.KmsKeyId ?? null,
    metadata: {
      tokens: data.MetadataOptions?.HttpTokens ?? '',
      hopLimit: data.MetadataOptions?.HttpPutResponseHopLimit ?? 0,
      tags: data.MetadataOptions?.InstanceMetadataTags ?? 'disabled',
    },
    boot: sha256(Buffer.from(data.UserData ?? '', 'base64').toString()),
    volumeTags: tagsFrom(volumeTags),
  };
}
const templateFrom = ({
  LaunchTemplateId: id = '',
  VersionNumber,
  LaunchTemplateData = {},
}: LaunchTemplateVersion): Template => ({
  id,
  version: String(VersionNumber ?? ''),
  content: contentOf(LaunchTemplateData),
});

/** A fact that an older Slipway has kept may tell less than is compared today. */
function known({ version, content }: Readonly<Record<string, string | undefined>>): Omit<Template, 'id'> | undefined {
  if (version === undefined || content === undefined) return undefined;
  const parsed = contentSchema.safeParse(parseJson(content));
  return parsed.success ? { version, content: parsed.data } : undefined;
}

/** Told by groups and facts where these tell of all: each launches the version that is known of its template, and has the members that it wants. */
export async function seenTemplates(world: Look): Promise<readonly Seen[]> {
  const [tags, all, facts] = await Promise.all([templateTags(world), world.read(groups), factsOf(world)]);
  const used = all.filter(({ Status }) => Status === undefined).map(launchedBy);
  const ids = new Set([
    ...tags.keys(),
    ...used.flatMap(({ id }) => id || []),
    ...facts.ids().filter((id) => id.startsWith('lt-') && known(facts.of(id))),
  ]);
  const told = [...ids].map((id): Seen | undefined => {
    const template = known(facts.of(id));
    const own = tags.get(id);
    const by = used.filter((one) => one.id === id);
    if (!template || !own || by.length === 0) return undefined;
    return by.every(({ version, isFull }) => isFull && version === template.version) ? { id, ...template, tags: own } : undefined;
  });
  const whole = told.flatMap((one) => one ?? []);
  if (whole.length === told.length) return whole;

  const defaults = new Map((await world.read(templates)).flatMap((version) => ownTemplate(version, world.clients)));
  const asked = [...new Set([...ids, ...defaults.keys()])].map(async (id): Promise<readonly Seen[]> => {
    const launched = known(facts.of(id));
    const counts = launched && used.every((one) => one.id !== id || one.version === launched.version);
    const byDefault = defaults.get(id);
    // Somebody made another the default: what groups launch counts, if it is there.
    const other = counts && launched.version !== byDefault?.version;
    const found = (other ? await versionOf(world.clients, { id, version: launched.version }) : undefined) ?? byDefault;
    if (!found) {
      await forgetFact(world.clients, id);
      return [];
    }
    keepContent(world.clients, found);
    return [{ ...found, tags: tags.get(id) ?? [] }];
  });
  return (await Promise.all(asked)).flat();
}
const launchedBy = (group: AutoScalingGroup) => ({
  ...templateOf(group),
  isFull: (group.Instances ?? []).length >= (group.DesiredCapacity ?? 0),
});
function ownTemplate(version: LaunchTemplateVersion, { owner }: AwsClients): readonly (readonly [string, Template])[] {
  const template = templateFrom(version);
  const address = resourceIn(template.content.volumeTags, owner.cluster, 'aws.launch-template');
  return address && version.LaunchTemplateName === templateName(owner.cluster, address) ? [[template.id, template]] : [];
}

async function versionOf({ ec2 }: Pick<AwsClients, 'ec2'>, { id, version }: Version): Promise<Template | undefined> {
  const command = new DescribeLaunchTemplateVersionsCommand({ LaunchTemplateId: id, Versions: [version] });
  try {
    const { LaunchTemplateVersions: [found] = [] } = await ec2.send(command);
    return found && templateFrom(found);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** What stands in the version that was seen, or in the default one if that is gone. */
export async function currentTemplate(clients: AwsClients, seen: Version): Promise<Template | undefined> {
  const found = await versionOf(clients, seen);
  return found ?? (await templates(clients)).map(templateFrom).find(({ id }) => id === seen.id);
}
