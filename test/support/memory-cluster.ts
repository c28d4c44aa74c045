import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { design, machineAddress } from '../../providers/local/design.ts';
import type { Cluster } from '../../src/config/schema.ts';
import type { Opened } from '../../src/lifecycle/opened.ts';
import { digestOf } from '../../src/plan/canonical.ts';
import type { Provider } from '../../src/provider.ts';
import { directoryStore } from '../../src/store/directory.ts';
import { type MemoryWorld, memoryLayers } from './memory.ts';

const notHere = (): never => {
  throw new Error('a world in memory has no hosts');
};

/** A whole cluster over a world in memory: the local provider's design, every layer's types replaced by ones that only remember. The store is a real directory. */
export function memoryOpened(cluster: Cluster, world: MemoryWorld, over: { signal?: AbortSignal; store?: string } = {}): Opened {
  const path = over.store ?? mkdtempSync(join(tmpdir(), 'slipway-memory-'));
  const provider: Provider = {
    name: 'infrastructure',
    types: [],
    delivery: 'mounted',
    design: (topology) => design(topology, { image: 'slipway/machine:test', assets: '/assets' }),
    machineAddress,
    connect: async () => world,
    access: notHere,
    store: async () => directoryStore(path),
    removeStore: async () => undefined,
    async *verify() {},
    leaveMs: () => 0,
  };
  let uid = 0;
  return {
    cluster,
    file: 'cluster.yaml',
    text: `name: ${cluster.name}\n`,
    manifests: [],
    gateJobs: new Map(),
    runCommand: notHere,
    env: {},
    specDigest: digestOf(cluster),
    findings: [],
    provider,
    tool: 'test',
    directories: { config: path, state: path, cache: path },
    assets: { ensure: async () => undefined, file: (name) => name },
    emit: () => undefined,
    signal: over.signal ?? new AbortController().signal,
    layers: async ({ design }) => ({
      layers: memoryLayers(world, design().resources, () => design().resources),
      secrets: { reveal: notHere },
      seal: notHere,
      reach: { hosts: notHere, kube: notHere },
    }),
    now: Date.now,
    newUid: () => `uid-${++uid}`,
    randomBytes: (count) => new Uint8Array(count).fill(++uid),
    holder: 'test',
    host: 'here',
    commandLine: 'cluster up',
  };
}
