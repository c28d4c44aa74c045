import { describe, expect, test } from 'vitest';
import { versionsFor } from '../../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../../src/cluster/design.ts';
import { designAddons } from '../../../src/components/addons.ts';
import { parseManifest } from '../../../src/config/manifests.ts';
import { waitUntilEstablished } from '../../../src/kube/apply-manifest.ts';
import { kubeResources } from '../../../src/kube/design.ts';
import type { ManifestProps } from '../../../src/kube/manifests.ts';
import { kubeHolders, kubeObjects } from '../../../src/kube/types/manifests.ts';
import { kubeNode } from '../../../src/kube/types/node.ts';
import { refuseOwn } from '../../../src/lifecycle/manifests.ts';
import { planCluster } from '../../../src/lifecycle/plan.ts';
import { up } from '../../../src/lifecycle/up.ts';
import { aCluster } from '../../support/builders.ts';
import { MemoryWorld } from '../../support/memory.ts';
import { memoryOpened } from '../../support/memory-cluster.ts';

const text = `apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Secret
metadata: { name: login, namespace: shop }
stringData: { password: hunter2 }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: shop }
`;
const read = (from: string) => {
  const { manifests, problems } = parseManifest(from, 'app.yaml');
  expect(problems).toEqual([]);
  return manifests;
};
const topologyOf = (over: Parameters<typeof aCluster>[0] = {}) =>
  designTopology(aCluster(over), noIdentity, versionsFor('1.36.3'));
const resourcesOf = (over: Parameters<typeof aCluster>[0] = {}, from = text) => {
  const topology = topologyOf(over);
  return kubeResources(topology, designAddons(topology), read(from));
};
const hunter = /hunter2|aHVudGVyMg/;

describe('addons.manifests', () => {
  test('are two resources: what holds other objects, then the rest', () => {
    const own = resourcesOf().filter(({ address }) => address.endsWith('/manifests'));
    expect(own.map(({ address }) => address)).toEqual(['kube.holders/manifests', 'kube.objects/manifests']);
    expect(own[1]?.after).toContain('kube.holders/manifests');
    expect(resourcesOf({}, '').filter(({ address }) => address.endsWith('/manifests'))).toEqual([]);
  });

  test('nothing of a Secret is in resources, plans or the journal', async () => {
    const world = new MemoryWorld();
    const opened = { ...memoryOpened(aCluster(), world), manifests: read(text) };
    expect(JSON.stringify(resourcesOf())).not.toMatch(hunter);
    const plan = await planCluster(opened);
    expect(plan.changes.map(({ address }) => address)).toContain('kube.objects/manifests');
    expect(JSON.stringify(plan)).not.toMatch(hunter);
    await up(opened, { allowDataLoss: false, lockWaitMs: 0, confirm: async () => true });
    expect((await planCluster(opened)).changes).toEqual([]);
  });

  test('a definition whose conditions are null yet, as they are for a moment, is waited for', async () => {
    const [definition] = read(
      'apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: widgets.example.com }\n',
    );
    const answers = [null, [{ type: 'Established', status: 'True' }]];
    const get = async () => ({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'widgets.example.com' },
      status: { conditions: answers.shift() },
    });
    if (definition) await waitUntilEstablished({ get }, definition, AbortSignal.timeout(5_000));
    expect(answers).toEqual([]);
  });

  test("an object of Slipway's own addons is refused, with its place", () => {
    const addons = designAddons(topologyOf());
    const own = (kind: string, apiVersion: string, name: string, namespace?: string) =>
      read(`apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: ${JSON.stringify({ name, namespace })}\n`);
    expect(() => refuseOwn(own('Deployment', 'apps/v1', 'coredns', 'kube-system'), addons)).toThrow(
      /app\.yaml:1: Deployment\.apps\/kube-system\/coredns belongs to the addon coredns/,
    );
    // Another version of the same API is the same object.
    expect(() => refuseOwn(own('Deployment', 'apps/v1beta1', 'coredns', 'kube-system'), addons)).toThrow(/coredns/);
    expect(() => refuseOwn(own('Secret', 'v1', 'metrics-server-tls', 'kube-system'), addons)).toThrow(/metrics-server/);
    expect(() => refuseOwn(own('ConfigMap', 'v1', 'slipway-manifests', 'kube-system'), addons)).toThrow(/Slipway itself/);
    expect(() => refuseOwn(own('Deployment', 'apps/v1', 'coredns'), addons)).not.toThrow();
    const without = designAddons(topologyOf({ addons: { metricsServer: false } }));
    expect(() => refuseOwn(own('Deployment', 'apps/v1', 'metrics-server', 'kube-system'), without)).not.toThrow();
  });

  test('what holds others is deleted with --allow-data-loss only; the rest, and what was there before, is not so dear', () => {
    const desired: ManifestProps = { objects: {}, recorded: true };
    const observed = { objects: { 'Namespace/shop': 'a', 'Namespace/old': 'b' }, recorded: true, adopted: ['Namespace/old'] };
    const impacts = (type: typeof kubeHolders) => type.diff(desired, observed).map(({ impact }) => impact);
    expect(impacts(kubeHolders)).toEqual(['data-loss', 'none']);
    expect(impacts(kubeObjects)).toEqual(['none', 'none']);
    expect([kubeHolders.shrink, kubeObjects.shrink]).toEqual(['data-loss', 'now']);
  });

  test('a record of kinds that is gone is written again', () => {
    const objects = { 'ConfigMap/a': 'x' };
    expect(kubeObjects.diff({ objects, recorded: true }, { objects, recorded: false }).map(({ path }) => path)).toEqual([
      'recorded',
    ]);
  });
});

describe('network.plugin none', () => {
  const none = { network: { plugin: 'none' } } as const;
  test('addons are applied and not waited for', () => {
    const types = resourcesOf(none).map(({ type }) => type);
    expect(types).toContain('kube.addon');
    expect(types).not.toContain('kube.ready');
    expect(resourcesOf().map(({ type }) => type)).toContain('kube.ready');
  });
  test('a node that lacks only its network is as designed; one that lacks more is not', () => {
    const designed = resourcesOf(none).find(({ type }) => type === 'kube.node')?.props;
    if (!designed || !('ready' in designed)) throw new Error('no node');
    const props = (ready: boolean | 'but for a pod network') => ({ labels: {}, taints: [], ready });
    const differs = (from: ReturnType<typeof props>['ready'], to: ReturnType<typeof props>['ready']) =>
      kubeNode.diff(props(to), props(from)).length > 0;
    expect(designed.ready).toBe('but for a pod network');
    expect(differs('but for a pod network', 'but for a pod network')).toBe(false);
    expect(differs(true, 'but for a pod network')).toBe(false);
    expect(differs(false, 'but for a pod network')).toBe(true);
    expect(differs('but for a pod network', true)).toBe(true);
  });
});
