import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { versionsFor } from '../../src/assets/catalogue.ts';
import { designTopology, noIdentity } from '../../src/cluster/design.ts';
import { designAddons } from '../../src/components/addons.ts';
import type { Host, Hosts } from '../../src/host/host.ts';
import { openKube } from '../../src/kube/client.ts';
import type { KubeClients } from '../../src/kube/clients.ts';
import { connectKube } from '../../src/kube/connect.ts';
import { addonKindsOf, kubeResources } from '../../src/kube/design.ts';
import { applyWithAddress } from '../../src/kube/service-address.ts';
import { kubeAddon } from '../../src/kube/types/addon.ts';
import { kubeCertificate } from '../../src/kube/types/certificate.ts';
import { kubeNode } from '../../src/kube/types/node.ts';
import { kubeReady } from '../../src/kube/types/ready.ts';
import { diff } from '../../src/plan/diff.ts';
import { ObservedMap } from '../../src/plan/observed.ts';
import { resolve } from '../../src/plan/resolve.ts';
import type { Address, Context, ResourceType } from '../../src/plan/resource.ts';
import { aCluster } from '../support/builders.ts';
import { apiName, type LocalApi, missingApi, startLocalApi } from '../support/local-api.ts';

/** The types of the kube layer against an unmodified kube-apiserver. */
describe.skipIf(missingApi)(`a real API server${missingApi ? `: skipped, ${missingApi}` : ''}`, { timeout: 60_000 }, () => {
  let lab: LocalApi;
  let clients: KubeClients;
  const topology = designTopology(aCluster(), noIdentity, versionsFor('1.36.3'));
  const addons = designAddons(topology);
  const resources = kubeResources(topology, addons).filter((resource) => resource.type !== 'kube.api');
  const types = new Map<string, ResourceType<object, object, KubeClients>>(
    [kubeAddon, kubeCertificate, kubeNode, kubeReady].map((type) => [type.name, type]),
  );
  const connect = (
    over: { masters?: readonly string[]; initialised?: boolean; server?: string; hosts?: Hosts } = {},
  ): KubeClients =>
    connectKube({
      ...(over.hosts && { hosts: over.hosts }),
      uid: 'uid-1',
      access: () => ({
        bastion: undefined,
        hosts: new Map([['master-a', { state: 'unreachable', why: 'not in this test' }]]),
        api: { server: over.server ?? lab.server, tlsServerName: apiName, via: 'direct' },
      }),
      masters: over.masters ?? ['master-a'],
      credentials: async () => lab.credentials,
      initialised: async () => over.initialised ?? true,
      addonKinds: addonKindsOf(addons),
      now: () => Date.now(),
    });
  const api = () => clients.api({ waitMs: 20_000 });
  const ctx = (address: Address): Context<KubeClients> => ({
    address,
    clients,
    signal: AbortSignal.timeout(30_000),
    token: '',
    since: 0,
    hold: [],
    secrets: { reveal: async () => new TextEncoder().encode(lab.authority.keyPem) },
    progress: () => {},
  });
  const observe = async (): Promise<ObservedMap> => {
    const seen = new ObservedMap();
    for (const name of ['kubernetes', 'nodes'])
      seen.set(`pki.authority/${name}`, {
        state: 'present',
        props: {},
        outputs: {
          certificate: lab.authority.certPem,
          certificateBase64: Buffer.from(lab.authority.certPem).toString('base64'),
          keyId: lab.authority.keyId,
        },
      });
    for (const type of types.values())
      seen.add(
        await type.observe({
          clients,
          signal: AbortSignal.timeout(10_000),
          read: (query) => query(clients, AbortSignal.timeout(10_000)),
        }),
      );
    return seen;
  };
  const differences = async (only: string) => {
    const wanted = resources.filter((resource) => resource.type === only);
    return diff(wanted, await observe(), new Map([...types].filter(([name]) => name === only) as never)).map((d) => ({
      address: d.address,
      action: d.action,
      fields: d.fields.map((f) => f.path),
    }));
  };
  const act = async (address: Address, action: 'create' | 'update' = 'create') => {
    const resource = resources.find((candidate) => candidate.address === address);
    const seen = await observe();
    const { props } = resolve(resource?.props ?? {}, seen);
    const found = seen.get(address);
    const type = types.get(resource?.type ?? '');
    if (action === 'create') return type?.create?.(props, ctx(address));
    return type?.update?.(props, found?.state === 'present' ? found.outputs : {}, ctx(address));
  };

  beforeAll(async () => {
    lab = await startLocalApi(90);
    clients = connect();
    await api();
  }, 150_000);
  afterAll(() => {
    clients?.close();
    lab?.close();
  });

  test('addons are applied, and then nothing differs', async () => {
    expect((await differences('kube.addon')).map((d) => `${d.action} ${d.address}`)).toEqual([
      'create kube.addon/rbac',
      'create kube.addon/coredns',
      'create kube.addon/metrics-server',
    ]);
    const start = performance.now();
    for (const addon of addons) await act(`kube.addon/${addon.name}`);
    console.log(`three addons applied: ${Math.round(performance.now() - start)} ms`);
    const look = performance.now();
    expect(await differences('kube.addon')).toEqual([]);
    console.log(`observing the layer: ${Math.round(performance.now() - look)} ms`);
  });

  test('a changed field of ours is one difference and is mended; a field that somebody adds is theirs', async () => {
    const name = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'kube-system', name: 'coredns' };
    const patch = 'application/merge-patch+json';
    const kubectl = openKube({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
    await kubectl.patch(name, patch, { spec: { revisionHistoryLimit: 3 }, metadata: { labels: { mine: 'yes' } } });
    expect(await differences('kube.addon')).toEqual([]);
    // Another manager than ours: as kubectl edit would.
    await kubectl.apply(
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'coredns', namespace: 'kube-system' },
        spec: { replicas: 5 },
      },
      { manager: 'somebody' },
    );
    expect(await differences('kube.addon')).toEqual([
      { address: 'kube.addon/coredns', action: 'update', fields: ['objects.Deployment/kube-system/coredns'] },
    ]);
    await act('kube.addon/coredns', 'update');
    expect(await differences('kube.addon')).toEqual([]);
    expect(await kubectl.get(name)).toMatchObject({ spec: { replicas: 2, revisionHistoryLimit: 3 } });
    kubectl.close();
  });

  test('a deleted object is found missing, an object that is not designed any more is pruned', async () => {
    const connected = await api();
    await connected.delete({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-system', name: 'coredns' });
    await connected.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'old', namespace: 'kube-system', labels: { 'slipway.dev/addon': 'coredns' } },
    });
    expect(await differences('kube.addon')).toEqual([
      {
        address: 'kube.addon/coredns',
        action: 'update',
        fields: ['objects.ConfigMap/kube-system/coredns', 'objects.ConfigMap/kube-system/old'],
      },
    ]);
    await act('kube.addon/coredns', 'update');
    expect(await differences('kube.addon')).toEqual([]);
    expect(await connected.get({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-system', name: 'old' })).toBeUndefined();
  });

  test('a certificate for pods is made by the authority, and then is fresh', async () => {
    expect(await differences('kube.certificate')).toMatchObject([{ action: 'create' }]);
    await act('kube.certificate/kube-system.metrics-server-tls');
    expect(await differences('kube.certificate')).toEqual([]);
  });

  test('a node is waited for, labelled and tainted; taints of others stay', async () => {
    const connected = await api();
    const node = (name: string) => ({ apiVersion: 'v1', kind: 'Node', name });
    const waiting = act('kube.node/master-a');
    const system = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };
    await connected.apply(
      {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name: 'master-a', labels: { 'topology.kubernetes.io/zone': 'a' } },
        spec: { taints: [system] },
      },
      { manager: 'kubelet' },
    );
    await new Promise((wake) => setTimeout(wake, 600));
    await setReady('master-a', 'True');
    await waiting;
    expect((await differences('kube.node')).map((d) => d.address)).not.toContain('kube.node/master-a');
    expect(await connected.get(node('master-a'))).toMatchObject({
      metadata: { labels: { 'node-role.kubernetes.io/control-plane': '', 'topology.kubernetes.io/zone': 'a' } },
      spec: { taints: [system, { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }] },
    });
    await connected.patch(node('master-a'), 'application/merge-patch+json', { spec: { taints: [system] } });
    await setReady('master-a', 'Unknown');
    expect(await differences('kube.node')).toContainEqual({
      address: 'kube.node/master-a',
      action: 'update',
      fields: ['taints', 'ready'],
    });
    await setReady('master-a', 'True');
    await act('kube.node/master-a', 'update');
    expect(await connected.get(node('master-a'))).toMatchObject({ spec: { taints: [system, { effect: 'NoSchedule' }] } });
  });

  async function setReady(name: string, status: string): Promise<void> {
    const { server, credentials } = lab;
    const { openHttp } = await import('../../src/kube/http.ts');
    const http = openHttp({ server, tlsServerName: apiName, ...credentials });
    const conditions = [{ type: 'Ready', status, reason: 'Test', message: 'as the test says' }];
    await http.json(`/api/v1/nodes/${name}/status`, {
      method: 'PATCH',
      contentType: 'application/strategic-merge-patch+json',
      body: { status: { conditions } },
    });
    http.close();
  }

  /** A host whose kubelet has run for a while, and registers its node, once, when it is started again. */
  function kubeletOf(name: string, machine: string): { readonly hosts: Hosts; readonly starts: () => number } {
    let starts = 0;
    const endpoint = { address: '127.0.0.1', port: 22, user: 'root', hostKey: '' };
    const refused = (): never => {
      throw new Error('not in this test');
    };
    const exec: Host['exec'] = async (command) => {
      if (!command.includes('systemctl restart')) return { code: 0, stdout: '', stderr: '' };
      starts++;
      await register(name, machine);
      return { code: 0, stdout: 'restarted\n', stderr: '' };
    };
    const host: Host = { name, exec, interactive: refused, stream: refused };
    const hosts: Hosts = {
      access: () => ({ bastion: undefined, hosts: new Map([[name, { state: 'reachable', endpoint }]]), api: undefined }),
      get: async () => host,
      tunnel: refused,
      close: async () => undefined,
    };
    return { hosts, starts: () => starts };
  }
  const renew = async (name: string, atMs: number): Promise<void> => {
    const metadata = { name, namespace: 'kube-node-lease' };
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: 40,
      renewTime: `${new Date(atMs).toISOString().slice(0, -1)}000Z`,
    };
    await (await api()).apply({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec }, { manager: 'kubelet' });
  };
  const register = async (name: string, machine: string): Promise<void> => {
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { providerID: machine } };
    await (await api()).apply(node, { manager: 'kubelet' });
    await setReady(name, 'True');
  };
  const ensureNode = (name: string, machine: string, own: KubeClients) =>
    kubeNode.update?.(
      { labels: { mine: 'yes' }, taints: [], ready: true, machine },
      {},
      { ...ctx(`kube.node/${name}`), clients: own },
    );
  const nodeNamed = async (name: string) => (await api()).get({ apiVersion: 'v1', kind: 'Node', name });

  test('the node of a machine that is no longer designed goes when the machine has gone; one that somebody joined by hand stays', async () => {
    await register('workers-z-1', 'local:///workers-z-1');
    await register('by-hand', 'local:///by-hand');
    const kubelet = kubeletOf('workers-z-1', 'local:///workers-z-1');
    const own = connect({ hosts: kubelet.hosts });
    await ensureNode('workers-z-1', 'local:///workers-z-1', own);
    const deletions = async () =>
      diff([], await observe(), new Map([['kube.node', kubeNode as never]]))
        .filter(({ action }) => action === 'delete')
        .map(({ address }) => address);
    const gone = await deletions();
    expect(gone).toContain('kube.node/workers-z-1');
    expect(gone).not.toContain('kube.node/by-hand');
    const forget = (clients: KubeClients) => kubeNode.delete?.({}, { ...ctx('kube.node/workers-z-1'), clients });
    await expect(forget(own)).rejects.toThrow(/not deleted while its machine is there/);
    expect(await nodeNamed('workers-z-1')).toBeDefined();
    own.close();
    await forget(clients);
    await forget(clients);
    expect(await nodeNamed('workers-z-1')).toBeUndefined();
    await kubeNode.delete?.({}, ctx('kube.node/by-hand'));
    expect(await nodeNamed('by-hand')).toBeDefined();
  });

  test('Ready of the time before this run, as where etcd came back with its data, counts with a sign of life of the kubelet', async () => {
    await register('back', 'local:///back');
    const since = Date.now();
    let ended = false;
    const created = kubeNode
      .create?.({ labels: { mine: 'yes' }, taints: [], ready: true }, { ...ctx('kube.node/back'), since })
      .then(() => {
        ended = true;
      });
    await expect.poll(async () => (await nodeNamed('back'))?.metadata.labels).toHaveProperty('mine');
    await new Promise((wake) => setTimeout(wake, 700));
    expect(ended).toBe(false);
    await renew('back', Date.now());
    await created;
  });

  test('a machine whose clock is far behind ours is alive when its lease is renewed while we look', async () => {
    await register('behind', 'local:///behind');
    await renew('behind', Date.now() - 600_000);
    let ended = false;
    const created = kubeNode
      .create?.({ labels: {}, taints: [], ready: true }, { ...ctx('kube.node/behind'), since: Date.now() + 10_000 })
      .finally(() => {
        ended = true;
      });
    for (let seconds = 1; !ended; seconds++) {
      await renew('behind', Date.now() - 600_000 + seconds * 1000);
      await new Promise((wake) => setTimeout(wake, 200));
    }
    await created;
  });

  test('the node of a machine that was here before is deleted, and its successor registers its own', async () => {
    await register('master-b', 'aws:///zone/i-old');
    await (await api()).apply(
      { apiVersion: 'v1', kind: 'Node', metadata: { name: 'master-b' }, spec: { unschedulable: true } },
      { manager: 'somebody' },
    );
    const before = await nodeNamed('master-b');
    const kubelet = kubeletOf('master-b', 'aws:///zone/i-new');
    const own = connect({ hosts: kubelet.hosts });
    await ensureNode('master-b', 'aws:///zone/i-new', own);
    const after = await nodeNamed('master-b');
    expect(after).toMatchObject({ metadata: { labels: { mine: 'yes' } }, spec: { providerID: 'aws:///zone/i-new' } });
    expect(after?.metadata.uid).not.toBe(before?.metadata.uid);
    // Who cordoned it meant the name.
    expect(after).toMatchObject({ spec: { unschedulable: true } });
    // Its own it leaves alone.
    await ensureNode('master-b', 'aws:///zone/i-new', own);
    expect((await nodeNamed('master-b'))?.metadata.uid).toBe(after?.metadata.uid);
    expect(kubelet.starts()).toBe(1);
    own.close();
  });

  test('a node that somebody deleted while its kubelet runs comes back, with what is ours', async () => {
    await register('master-c', 'aws:///zone/i-c');
    await setReady('master-c', 'Unknown');
    const kubelet = kubeletOf('master-c', 'aws:///zone/i-c');
    const own = connect({ hosts: kubelet.hosts });
    const waiting = ensureNode('master-c', 'aws:///zone/i-c', own);
    await expect.poll(async () => (await nodeNamed('master-c'))?.metadata.labels).toHaveProperty('mine');
    await (await api()).delete({ apiVersion: 'v1', kind: 'Node', name: 'master-c' });
    await waiting;
    expect(kubelet.starts()).toBe(1);
    expect((await nodeNamed('master-c'))?.metadata.labels).toHaveProperty('mine');
    own.close();
  });

  test('what an addon runs is waited for until it is available', async () => {
    expect((await differences('kube.ready')).map((d) => d.address)).toEqual(['kube.ready/coredns', 'kube.ready/metrics-server']);
    const waiting = act('kube.ready/coredns', 'update');
    const { openHttp } = await import('../../src/kube/http.ts');
    const http = openHttp({ server: lab.server, tlsServerName: apiName, ...lab.credentials });
    const now = new Date().toISOString();
    const status = {
      observedGeneration: 100,
      conditions: [{ type: 'Available', status: 'True', lastUpdateTime: now, lastTransitionTime: now }],
    };
    await http.json('/apis/apps/v1/namespaces/kube-system/deployments/coredns/status', {
      method: 'PATCH',
      contentType: 'application/strategic-merge-patch+json',
      body: { status },
    });
    http.close();
    await waiting;
    expect((await differences('kube.ready')).map((d) => d.address)).toEqual(['kube.ready/metrics-server']);
  });

  test('a refusal says what the API said; a wrong name in its certificate and a stopped server are unreachable', async () => {
    const connected = await api();
    const bad = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'Not_A_Name', namespace: 'default' } };
    await expect(connected.apply(bad)).rejects.toMatchObject({ status: 422, reason: 'Invalid' });
    const other = openKube({ server: lab.server, tlsServerName: 'api.other.internal', ...lab.credentials });
    await expect(other.raw('/version')).rejects.toThrow(/altnames|does not match/i);
    lab.signal('SIGSTOP');
    await new Promise((wake) => setTimeout(wake, 300));
    const late = connect();
    await expect(
      kubeAddon.observe({
        clients: late,
        signal: AbortSignal.timeout(30_000),
        read: (query) => query(late, AbortSignal.timeout(30_000)),
      }),
    ).rejects.toMatchObject({ exitCode: 69 });
    lab.signal('SIGCONT');
    late.close();
    other.close();
  });

  test('a Service whose creation was cut half way is made once its address is free again; an address of another Service is refused at once', async () => {
    const { server, credentials } = lab;
    const kube = openKube({ server, tlsServerName: apiName, ...credentials });
    const address = { apiVersion: 'networking.k8s.io/v1', kind: 'IPAddress', name: '10.96.0.77' };
    // What an API server leaves that gave up on its etcd between the address and the Service.
    await kube.apply({
      apiVersion: address.apiVersion,
      kind: address.kind,
      metadata: {
        name: address.name,
        labels: { 'ipaddress.kubernetes.io/ip-family': 'IPv4', 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' },
      },
      spec: { parentRef: { group: '', resource: 'services', namespace: 'default', name: 'cut' } },
    });
    const service = (name: string) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { clusterIP: address.name, clusterIPs: [address.name], ports: [{ port: 80 }] },
    });
    const { signal } = ctx('kube.addon/coredns');
    await expect(applyWithAddress(kube, service('other'), { signal, progress: () => {} })).rejects.toThrow('already allocated');
    const told: string[] = [];
    const applied = applyWithAddress(kube, service('cut'), {
      signal,
      progress: (message) => {
        told.push(message);
        // The API server's own repair does this after a minute.
        void kube.delete(address);
      },
    });
    expect((await applied).metadata.name).toBe('cut');
    expect(told).toEqual(['Service cut: its creation was cut, and its address is free again within a minute']);
    kube.close();
  });

  test('without masters, or before etcd was ever initialised, the layer is absent and asks nothing', async () => {
    for (const nothing of [
      connect({ masters: [], server: 'https://127.0.0.1:1' }),
      connect({ initialised: false, server: 'https://127.0.0.1:1' }),
    ])
      for (const type of types.values())
        expect(
          (
            await type.observe({
              clients: nothing,
              signal: AbortSignal.timeout(5_000),
              read: (query) => query(nothing, AbortSignal.timeout(5_000)),
            })
          ).size,
        ).toBe(0);
  });
});
