import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecResult, Host, Hosts, HostsClients } from '../../../src/host/host.ts';
import type { SecretsClients } from '../../../src/pki/clients.ts';
import { ObservedMap } from '../../../src/plan/observed.ts';
import { resolve } from '../../../src/plan/resolve.ts';
import type { Context, FieldChange, Resource, ResourceType } from '../../../src/plan/resource.ts';
import { openSealing, secretsOf } from '../../../src/store/sealing.ts';
import type { Store } from '../../../src/store/store.ts';

/**
 * The engine in small: observes, creates and updates resources of one type as the runner does. Generic over a type's own props, so
 * that a test may look at outputs.
 */
export function engine<P extends object, O extends object, C>(
  type: ResourceType<P, O, C>,
  clients: C,
  seen: ObservedMap,
  secrets: Context<C>['secrets'],
) {
  const signal = new AbortController().signal;
  const observe = async () => {
    const found = await type.observe({ clients, signal, read: (query) => query(clients, signal) });
    for (const [address] of seen.entries()) if (address.startsWith(`${type.name}/`)) seen.delete(address);
    seen.add(found);
    return found;
  };
  const context = (address: Resource['address']): Context<C> => ({
    address,
    clients,
    signal,
    token: 'token',
    since: 0,
    hold: [],
    secrets,
    progress: () => undefined,
  });
  // The resolved props of a resource of this type are this type's; the engine proper relies on the same.
  const resolved = (resource: Resource) => resolve(resource.props, seen).props as Parameters<ResourceType<P, O, C>['diff']>[0];
  return {
    observe,
    /** Undefined: it is to be created. */
    async differences(resource: Resource): Promise<readonly FieldChange[] | 'create' | 'unknown'> {
      await observe();
      const observation = seen.get(resource.address);
      if (!observation) return 'create';
      if (observation.state === 'unknown') return 'unknown';
      return type.diff(resolved(resource), observation.props as Parameters<ResourceType<P, O, C>['diff']>[1]);
    },
    async apply(resource: Resource): Promise<O> {
      const found = seen.get(resource.address);
      const props = resolved(resource);
      const outputs =
        found?.state === 'present' && type.update
          ? await type.update(props, found.outputs as O, context(resource.address))
          : await type.create?.(props, context(resource.address));
      if (!outputs) throw new Error('no outputs');
      seen.set(resource.address, { state: 'present', props: props as object, outputs });
      return outputs;
    },
  };
}

/** A sealing over this store, as one process has it: call it again for the next process. */
export function secretsClients(
  store: Store,
  root: string,
  now: () => number,
): SecretsClients & { secrets: Context<unknown>['secrets'] } {
  const sealing = openSealing({ store, recipients: [], identityFile: join(root, 'identity.txt') });
  return { sealing, uid: 'c-123', now, secrets: secretsOf(sealing) };
}

/** Runs what the CLI sends to a host here, in a directory that stands for the host's root. */
export function hostInDirectory(name: string, root: string): Host & { readonly calls: string[] } {
  const calls: string[] = [];
  return {
    name,
    calls,
    stream: () => Promise.reject(new Error('not here')),
    interactive: () => Promise.reject(new Error('not here')),
    exec: (command, { stdin } = {}) =>
      new Promise<ExecResult>((done, failed) => {
        const text = typeof stdin === 'string' ? stdin : '';
        const sent = text.replaceAll('/var/lib/slipway', `${root}/state`).replaceAll('/run/slipway', `${root}/run`);
        calls.push(text);
        const child = spawn('sh', ['-c', command], { stdio: 'pipe' });
        const out = { stdout: '', stderr: '' };
        for (const stream of ['stdout', 'stderr'] as const)
          child[stream].on('data', (data: Buffer) => {
            out[stream] += data.toString();
          });
        child.once('error', failed);
        child.once('close', (code) =>
          done({ code: code ?? 1, ...out, stdout: out.stdout.replaceAll(`${root}/run`, '/run/slipway') }),
        );
        child.stdin.end(sent);
      }),
  };
}

export const hostsClients = (
  machines: HostsClients['machines'],
  hosts: ReadonlyMap<string, Host | 'unreachable'>,
  now: () => number,
): HostsClients => {
  const found: Hosts = {
    access: () => ({
      bastion: undefined,
      api: undefined,
      hosts: new Map(
        [...hosts].map(([name, host]) => [
          name,
          host === 'unreachable'
            ? { state: 'unreachable', why: 'it is stopped' }
            : { state: 'reachable', endpoint: { address: '', port: 22, user: 'root', hostKey: '' } },
        ]),
      ),
    }),
    get: async (name) => {
      const host = hosts.get(name);
      if (!host || host === 'unreachable') throw new Error(`no way to ${name}`);
      return host;
    },
    tunnel: () => {
      throw new Error('no tunnels here');
    },
    close: async () => undefined,
  };
  return {
    hosts: found,
    machines,
    uid: 'c-123',
    generation: 1,
    records: { get: async () => undefined, put: async () => undefined },
    delivery: 'mounted',
    storedAssets: async () => new Map(),
    assetFile: (path) => path,
    now,
  };
};

export async function temporary(): Promise<{ root: string; remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), 'slipway-house-'));
  await Promise.all(['state', 'run', 'pki'].map((name) => mkdir(join(root, name))));
  return { root, remove: () => rm(root, { recursive: true, force: true }) };
}
export { ObservedMap };
