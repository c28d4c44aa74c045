import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { isSecret } from '../config/manifest-object.ts';
import type { Manifest } from '../config/manifests.ts';
import { messageOf, UserError } from '../errors.ts';
import { type KubeApi, UnknownKind } from './client.ts';
import { KubeRefusal } from './http.ts';
import { isUpstream } from './kinds.ts';
import { isApplied, manifestManager, markedDigest } from './manifests.ts';
import { fieldManager, type KubeObject, marks, type ObjectName, ownedFields } from './objects.ts';
import { applyWithAddress } from './service-address.ts';

export interface ApplyContext {
  readonly uid: string;
  readonly signal: AbortSignal;
  progress(message: string): void;
}
/** What was seen of the object: undefined, that nothing of ours was. */
interface Before {
  readonly adopted: boolean;
  readonly state: string;
}

const pollMs = 250;

/** Applies one object, and waits, bounded, for what may come in a moment: its kind, its namespace, its webhook. Throws UserError, never with what is in a Secret. */
export async function applyManifest(
  api: KubeApi,
  manifest: Manifest,
  before: Before | undefined,
  context: ApplyContext,
): Promise<void> {
  const started = performance.now();
  for (let told = false; ; ) {
    try {
      await applyOnce(api, manifest, before, context);
      return;
    } catch (error) {
      const patience = patienceFor(error, manifest.object.apiVersion);
      if (performance.now() - started > patience) throw toldOf(manifest, error, patience);
      if (!told && performance.now() - started > 2_000) {
        context.progress(`${manifest.key} waits: ${reasonOf(manifest, error)}`);
        told = true;
      }
    }
    await sleep(pollMs, undefined, { signal: context.signal });
  }
}

class StillThere extends UserError {}

/** How long to try again, in milliseconds; 0: it is as wrong in a minute. */
function patienceFor(error: unknown, apiVersion: string): number {
  if (error instanceof StillThere) return 60_000;
  if (error instanceof UnknownKind) return isUpstream(apiVersion) ? 0 : 60_000;
  if (!(error instanceof KubeRefusal)) return 0;
  const { status, problem } = error;
  const said = problem.what;
  if (status === 404 && /namespaces "[^"]*" not found/.test(said)) return 20_000;
  if (status === 404) return isUpstream(apiVersion) ? 0 : 60_000;
  // Controllers make the account of a new namespace in a moment, and empty one that is being deleted.
  if (status === 403 && /service ?account .*not found|is being terminated/i.test(said)) return 60_000;
  if (status === 409) return 60_000;
  // A webhook, or a server of its own, whose pods start at this time.
  if (status === 503 || (status === 500 && /failed calling webhook|conversion webhook/i.test(said))) return 120_000;
  return 0;
}

async function applyOnce(
  api: KubeApi,
  { object, where }: Manifest,
  before: Before | undefined,
  { uid, signal, progress }: ApplyContext,
): Promise<void> {
  const { apiVersion, kind, metadata } = object;
  const served = await api.kind(apiVersion, kind, signal);
  if (!served) throw new UnknownKind({ what: `the Kubernetes API knows no ${kind} in ${apiVersion}` });
  if (!served.namespaced && metadata.namespace !== undefined)
    throw new UserError({ what: `a ${kind} is in no namespace`, where, next: 'remove metadata.namespace' });
  const place = { name: metadata.name, ...(served.namespaced && { namespace: metadata.namespace ?? 'default' }) };
  const name = { apiVersion, kind, ...place };
  const adopted = before && before.state !== 'being deleted' ? before.adopted : await wasThere(api, name, signal);
  const applied = await applyWithAddress(
    api,
    {
      ...object,
      metadata: {
        ...metadata,
        ...place,
        labels: { ...metadata.labels, [marks.manifest]: '' },
        annotations: { ...metadata.annotations, ...(adopted && { [marks.adopted]: 'true' }) },
      },
    },
    { manager: manifestManager, signal, progress },
  );
  await mark(api, name, markedDigest(object, uid), applied, signal);
}

/** Whether somebody else's object has this name. One of ours that is on its way out must be gone first: what is applied to it would go with it. */
async function wasThere(api: KubeApi, name: ObjectName, signal: AbortSignal): Promise<boolean> {
  const found = await api.get(name, signal);
  if (found?.metadata.deletionTimestamp !== undefined) throw new StillThere({ what: whyItStays(found) });
  if (!found) return false;
  const { labels = {}, annotations = {} } = found.metadata;
  // What an addon of ours has left to a manifest was never anybody else's.
  return marks.adopted in annotations || !(isApplied(found) || marks.addon in labels);
}

/**
 * The marks are written after the object, by another manager: a kill in between is seen as a difference. What the API server drops of our
 * fields (those that a CustomResourceDefinition does not know) it drops with the next write: so the mark is compared with that.
 */
async function mark(api: KubeApi, name: ObjectName, digest: string, applied: KubeObject, signal: AbortSignal): Promise<void> {
  const { apiVersion, kind, ...metadata } = name;
  let owned = ownedFields(applied.metadata, manifestManager);
  for (let attempt = 1; attempt <= 3; attempt++) {
    const annotations = { [marks.digest]: digest, [marks.owned]: owned };
    const marked = await api.apply(
      { apiVersion, kind, metadata: { ...metadata, annotations } },
      { manager: `${fieldManager}-marks`, signal },
    );
    const after = ownedFields(marked.metadata, manifestManager);
    if (after === owned) return;
    owned = after;
  }
}

function reasonOf({ object }: Manifest, error: unknown): string {
  if (!(error instanceof KubeRefusal)) return messageOf(error);
  // The API's words may quote the value.
  return isSecret(object)
    ? `${error.status} ${error.reason} (the API's words are not shown: they may hold the value)`
    : error.problem.what;
}

function toldOf(manifest: Manifest, error: unknown, patience: number): unknown {
  if (!(error instanceof UserError) || error.exitCode !== 1) return error;
  const waited = patience > 0 ? `\nwaited ${patience / 1000} s for that to change` : '';
  return new UserError({
    what: `${manifest.key} could not be applied`,
    where: manifest.where,
    why: `${reasonOf(manifest, error)}${waited}`,
    next: nextOf(manifest, error),
  });
}

function nextOf({ object: { kind, metadata } }: Manifest, error: UserError): string {
  const said = error.problem.what;
  const place = metadata.namespace === undefined ? '' : ` -n ${metadata.namespace}`;
  if (
    error instanceof KubeRefusal &&
    error.status === 422 &&
    /immutable|may not change fields|Forbidden: (pod )?updates/i.test(said)
  )
    return `it cannot be changed as it stands. Give it another name, or: cluster kubectl -- delete ${kind} ${metadata.name}${place}`;
  if (/namespaces "[^"]*" not found/.test(said)) return 'add the Namespace to your manifests';
  if (error instanceof UnknownKind) return 'add its CustomResourceDefinition to your manifests, or correct apiVersion and kind';
  return error.problem.next ?? 'correct the manifest, then run the same command again';
}

const conditionSchema = z.looseObject({ type: z.string(), status: z.string(), message: z.string().default('') });
/** A CustomResourceDefinition of a moment ago says `conditions: null`: its type in Go has no omitempty there. */
const statusSchema = z.looseObject({
  status: z
    .looseObject({
      conditions: z
        .array(conditionSchema)
        .nullish()
        .transform((conditions) => conditions ?? []),
    })
    .prefault({}),
});
/** Why what is being deleted is still there. */
export function whyItStays(object: KubeObject): string {
  const { finalizers = [] } = object.metadata;
  const parsed = statusSchema.safeParse(object);
  const conditions = parsed.success ? parsed.data.status.conditions : [];
  const said = conditions.filter(({ type, status }) => status === 'True' && /Failure|Remaining|Terminating/.test(type));
  const why = [
    ...(finalizers.length > 0 ? [`finalizers ${finalizers.join(', ')}`] : []),
    ...said.map(({ message }) => message).filter(Boolean),
  ];
  return ['it is being deleted and not gone yet', ...why].join('; ');
}

const establishedWithinMs = 60_000;

/** Waits, bounded, until a CustomResourceDefinition's kind is served. */
export async function waitUntilEstablished(
  api: Pick<KubeApi, 'get'>,
  { object, key, where }: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const { apiVersion, kind, metadata } = object;
  const end = performance.now() + establishedWithinMs;
  for (;;) {
    const found = await api.get({ apiVersion, kind, name: metadata.name }, signal);
    const { conditions } = statusSchema.parse(found ?? {}).status;
    const of = (type: string) => conditions.find((condition) => condition.type === type);
    if (of('Established')?.status === 'True') return;
    const refused = of('NamesAccepted');
    const why = refused?.status === 'False' ? refused.message : 'condition Established is not True';
    if (refused?.status === 'False' || performance.now() > end)
      throw new UserError({
        what: `${key} is not served`,
        where,
        why,
        next: 'correct the manifest, then run the same command again',
      });
    await sleep(100, undefined, { signal });
  }
}
