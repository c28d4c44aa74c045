import { describe, expect, test, vi } from 'vitest';
import type { Cluster } from '../../../src/config/schema.ts';
import type { Opened } from '../../../src/lifecycle/opened.ts';
import { aCluster } from '../../support/builders.ts';
import { UpgradableCluster } from '../../support/memory-upgrade.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const time = new VirtualTimers();
time.install();

const at = (version: string, workers: number, strategy: 'in-place' | 'replace'): Cluster =>
  aCluster({
    kubernetes: { version },
    masters: { count: 1 },
    etcd: { count: 1 },
    pools: [{ name: 'workers', count: workers, upgrade: { strategy, maxUnavailable: '100%', maxSurge: 0 } }],
    upgrade: { maxDrains: '100%', canary: false },
  });

/** What one upgrade of so many workers, all at once, asks: of the cloud for its machines, of the API, and of workers' hosts while they have their turns. */
async function asked(workers: number, strategy: 'in-place' | 'replace') {
  const cluster = new UpgradableCluster(time);
  await cluster.up(at('1.35.4', workers, strategy));
  cluster.populate();
  cluster.stands();
  const file = at('1.36.3', workers, strategy);
  const base = cluster.opened(file);
  const machines = vi.fn();
  const layers: Opened['layers'] = async (input) => {
    const made = await base.layers(input);
    return {
      ...made,
      layers: made.layers.map((layer) => ({
        ...layer,
        types: layer.types.map((type) => ({
          ...type,
          observe: (world) => {
            if (type.name === 'local.machine') machines();
            return type.observe(world);
          },
        })),
      })),
    };
  };
  const { api } = cluster;
  const calls = {
    get: vi.spyOn(api, 'get'),
    apply: vi.spyOn(api, 'apply'),
    patch: vi.spyOn(api, 'patch'),
    delete: vi.spyOn(api, 'delete'),
    evict: vi.spyOn(api, 'evict'),
    pages: vi.spyOn(api, 'pages'),
    raw: vi.spyOn(api, 'raw'),
  };
  const pods = api.pods.size;
  const result = await cluster.upgrade(file, {}, { layers });
  expect([result.outcome, cluster.broken]).toEqual(['done', []]);
  const count = (of: keyof typeof calls): number => calls[of].mock.calls.length;
  // How fast the API answers is asked by gates.
  const probes = calls.raw.mock.calls.filter(([path]) => path.includes('kube-system')).length;
  const changes = count('get') + count('apply') + count('patch') + count('delete');
  return {
    machines: machines.mock.calls.length,
    lists: count('pages'),
    probes,
    changes,
    evictions: count('evict'),
    pods,
  };
}

describe('what an upgrade asks', () => {
  test.each(['in-place', 'replace'] as const)(
    '%s: a look or a list is for all machines, and a machine has a few calls of its own',
    async (strategy) => {
      const few = await asked(3, strategy);
      const many = await asked(12, strategy);
      expect(many.machines).toBeLessThanOrEqual(few.machines + 1);
      expect(many.lists).toBeLessThanOrEqual(few.lists + 1);
      // Their gates ask how fast the API answers, which is asked once for all of them.
      expect(few.probes).toBeGreaterThanOrEqual(100);
      expect(many.probes).toBeLessThanOrEqual(few.probes + 100);
      expect(many.evictions).toBe(many.pods);
      // Its cordon, the mark that it is due, and the end of both: each reads what it changes; a pod that is tried there; a new machine has to say that it goes, besides.
      expect((many.changes - few.changes) / 9).toBeLessThanOrEqual(strategy === 'replace' ? 10 : 8);
    },
  );
});
