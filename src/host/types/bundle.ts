import type { Bundle } from '../../components/bundle.ts';
import { UserError } from '../../errors.ts';
import { keyedDigest, sha256 } from '../../plan/canonical.ts';
import {
  addressOf,
  type Context,
  type FieldChange,
  isRef,
  type Json,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import { type Application, AssetsMissing, applyBundle, pushAsset } from '../converge.ts';
import { type BundleProps, type FileProps, propsOf } from '../design.ts';
import { readFacts } from '../facts.ts';
import { fetchAssets } from '../fetch.ts';
import type { DesignedHost, HostFacts, HostsClients } from '../host.ts';
import { filesOf, hostEnvPath, joinPem } from '../manifest.ts';

/** What the host had restarted at the last apply, for messages. */
export interface BundleOutputs {
  readonly restarted: readonly string[];
}

/** All that a host should hold: files, units (enabled, not started), assets. */
export const hostBundle: ResourceType<BundleProps, BundleOutputs, HostsClients> = {
  name: 'host.bundle',
  shrink: 'never',
  // Files that it lacks are brought first: hundreds of megabytes.
  timeoutMs: 900_000,
  async observe(world) {
    const found = new Map<ReturnType<typeof addressOf>, Observation<BundleProps, BundleOutputs>>();
    for (const [name, seen] of await world.read(readFacts)) {
      const address = addressOf('host.bundle', name);
      if (seen.state === 'unknown') found.set(address, seen);
      else if (seen.state === 'present' && seen.facts.bundle !== undefined) {
        found.set(address, {
          state: 'present',
          props: observedProps(name, seen.facts, seen.facts.bundle, world.clients),
          outputs: { restarted: [] },
        });
      }
    }
    return found;
  },
  diff: diffBundle,
  create: (desired, ctx) => apply(desired, ctx),
  update: (desired, _outputs, ctx) => apply(desired, ctx),
};

function observedProps(name: string, facts: HostFacts, bundle: string, { machines, uid }: HostsClients): Resolved<BundleProps> {
  const designed = machines.get(name)?.bundle;
  const contents = new Map(designed && filesOf(designed).map((file) => [file.path, file.content]));
  const files: Record<string, Resolved<FileProps>> = {};
  for (const [path, file] of facts.files) {
    if (path === hostEnvPath || !file) continue;
    const content = contents.get(path);
    // What the design does not know may be a secret of an earlier one: keyed as well.
    if (!content) files[path] = { mode: file.mode, digest: keyedDigest(uid, file.sha256) };
    else if ('secret' in content)
      files[path] = { mode: file.mode, secret: content.secret, digest: keyedDigest(uid, file.sha256) };
    else files[path] = { mode: file.mode, digest: file.sha256 };
  }
  const restarts: Record<string, string[]> = {};
  const serving: string[] = [];
  for (const [unit, { active, inputs, serving: serves }] of facts.units) {
    if (active === 'inactive' || active === 'failed') continue;
    // One that starts, crashes and starts again serves nobody: to mend it is `up`'s.
    if (serves && active !== 'activating') serving.push(unit);
    for (const path of [unit, ...inputs]) {
      restarts[path] ??= [];
      restarts[path].push(unit);
    }
  }
  return {
    bundle,
    identity: facts.identity,
    files,
    units: Object.fromEntries(
      [...facts.units]
        .filter(([, unit]) => unit.sha256 !== '')
        .map(([unit, { sha256, enabled }]) => [unit, enabled ? sha256 : `${sha256} disabled`]),
    ),
    assets: [...facts.assets],
    restarts,
    serving,
    turned: isTurned(facts, machines.get(name)),
  };
}

const kubeletUnit = 'kubelet.service';
/** One that only crashes by it serves nobody: to bring that back is `up`'s. */
function isTurned({ units }: HostFacts, designed: DesignedHost | undefined): boolean {
  const kubelet = units.get(kubeletUnit);
  return kubelet?.active === 'active' && !kubelet.stale && designed !== undefined && isOfOther(kubelet.sha256, designed);
}
/** Whether a kubelet's unit is that of another state of the upgrade under way. */
export function isOfOther(unit: string, { bundle, others = [] }: DesignedHost): boolean {
  const isOf = (each: Bundle): boolean => propsOf(each).bundle.units[kubeletUnit] === unit;
  return !isOf(bundle) && others.some(isOf);
}

/**
 * One field a file, unit, asset and key of the identity: what is left to `upgrade` is left file by file. A machine whose turn was begun is left to it as a
 * whole: going back would restart a kubelet at an older version under its pods, which Kubernetes supports on a drained node only. Pure.
 */
export function diffBundle(desired: Resolved<BundleProps>, observed: Resolved<BundleProps>): readonly FieldChange[] {
  const changes: FieldChange[] = [];
  const serving = new Set(observed.serving);
  const change = (path: string, before: Json, after: FieldChange['after'], touched: string) => {
    const restarts = observed.restarts?.[touched] ?? [];
    changes.push({
      path,
      before,
      after,
      impact: observed.turned ? 'drain' : restarts.some((unit) => serving.has(unit)) ? 'restart' : 'none',
      ...(restarts.length > 0 && { note: `restarts ${restarts.map((unit) => unit.replace(/\.service$/, '')).join(', ')}` }),
    });
  };
  if (desired.bundle !== observed.bundle)
    changes.push({ path: 'bundle', before: observed.bundle, after: desired.bundle, impact: observed.turned ? 'drain' : 'none' });
  for (const key of bothKeys(desired.identity, observed.identity)) {
    const [before, after] = [observed.identity[key], desired.identity[key]];
    if (before !== after) change(`identity.${key}`, before ?? null, after ?? null, hostEnvPath);
  }
  if (desired.files !== observed.files) {
    for (const path of bothKeys(desired.files, observed.files)) diffFile(path, desired.files[path], observed.files[path], change);
  }
  for (const unit of bothKeys(desired.units, observed.units)) {
    const [before, after] = [observed.units[unit], desired.units[unit]];
    if (before === after) continue;
    // Enabling what is already right restarts nothing.
    const touched = before === `${after} disabled` ? '' : unit;
    change(
      `units.${unit}`,
      before === undefined ? null : shortUnit(before),
      after === undefined ? null : shortUnit(after),
      touched,
    );
  }
  const there = new Set(observed.assets);
  for (const asset of desired.assets) if (!there.has(asset)) change(`assets.${asset}`, null, 'present', '');
  return changes;
}

function diffFile(
  path: string,
  after: Resolved<FileProps> | undefined,
  before: Resolved<FileProps> | undefined,
  change: (path: string, before: Json, after: FieldChange['after'], touched: string) => void,
): void {
  const had = before && digestOf(before);
  const wants = after && digestOf(after);
  if (typeof wants === 'object')
    change(`files.${path}`, had === undefined || typeof had === 'object' ? null : short(had), wants, path);
  else if (had !== wants)
    change(`files.${path}`, typeof had === 'string' ? short(had) : null, wants === undefined ? null : short(wants), path);
  else if (before && after && before.mode !== after.mode)
    change(`files.${path}`, `mode ${before.mode}`, `mode ${after.mode}`, '');
}

/** The digest by which a file is compared; pending while an authority or secret is not made yet. */
function digestOf(file: Resolved<FileProps>): string | { readonly pending: ReturnType<typeof addressOf> } {
  if ('pem' in file) {
    const waiting = file.pem.find((pem): pem is string => isRef(pem));
    return isRef(waiting) ? { pending: waiting.ref } : sha256(joinPem(file.pem));
  }
  return isRef(file.digest) ? { pending: file.digest.ref } : file.digest;
}
const short = (digest: string): string => digest.slice(0, 12);
const shortUnit = (digest: string): string => digest.replace(/^([0-9a-f]{12})[0-9a-f]*/, '$1');
const bothKeys = (a: object, b: object): readonly string[] => [...new Set([...Object.keys(a), ...Object.keys(b)])];

async function apply(desired: Resolved<BundleProps>, ctx: Context<HostsClients>): Promise<BundleOutputs> {
  const { clients, signal } = ctx;
  const name = nameOf(ctx.address);
  const machine = clients.machines.get(name);
  if (!machine) throw new Error(`${name} is not in the design`);
  const host = await clients.hosts.get(name, { signal });
  const application: Application = {
    bundle: machine.bundle,
    identity: desired.identity,
    contents: await contentsOf(machine.bundle, desired, ctx),
    held: heldPaths(ctx.hold),
    generation: clients.generation,
  };
  try {
    return await applyBundle(host, application, signal);
  } catch (error) {
    if (!(error instanceof AssetsMissing)) throw error;
    if (clients.delivery === 'mounted') {
      throw new UserError({
        what: `${error.paths.length} files of the asset cache are not on it`,
        where: name,
        why: `missing below /opt/slipway: ${error.paths.slice(0, 5).join(', ')}`,
        next: 'run `cluster assets fetch`, and see that the asset cache is what the machine mounts',
      });
    }
    if (clients.delivery === 'fetched') {
      const progress: typeof ctx.progress = (message, amount) => ctx.progress(message, amount);
      await fetchAssets(host, error.paths, await clients.storedAssets(), { signal, progress });
      return applyBundle(host, application, signal);
    }
    for (const [index, path] of error.paths.entries()) {
      const progress = (message: string) => ctx.progress(message, { done: index, of: error.paths.length, unit: 'files' });
      await pushAsset(host, path, clients.assetFile(path), { signal, progress });
    }
    return applyBundle(host, application, signal);
  }
}

/** A field left to a later command: its file or unit stays; a key of the identity keeps all of host.env. */
export const heldPaths = (hold: readonly string[]): readonly string[] => [
  ...new Set(
    hold.flatMap((path) => {
      if (path.startsWith('files.')) return [path.slice('files.'.length)];
      if (path.startsWith('units.')) return [path.slice('units.'.length)];
      return path.startsWith('identity.') ? [hostEnvPath] : [];
    }),
  ),
];

async function contentsOf(
  bundle: Parameters<typeof filesOf>[0],
  desired: Resolved<BundleProps>,
  { secrets }: Context<HostsClients>,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const read = async ({ path, content }: ReturnType<typeof filesOf>[number]): Promise<Uint8Array> => {
    if ('text' in content) return Buffer.from(content.text);
    if ('secret' in content) return secrets.reveal({ secret: content.secret });
    const props = desired.files[path];
    if (!props || !('pem' in props)) throw new Error(`no certificates for ${path}`);
    return Buffer.from(joinPem(props.pem));
  };
  return new Map(
    await Promise.all(filesOf(bundle).map(async (file): Promise<[string, Uint8Array]> => [file.path, await read(file)])),
  );
}
