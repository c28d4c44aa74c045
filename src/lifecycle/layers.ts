import { join } from 'node:path';
import { storedAssets } from '../assets/stored.ts';
import { storedAssetsType, type UploadClients } from '../assets/types/uploaded.ts';
import { machinesOf } from '../cluster/topology.ts';
import { durationMs } from '../config/duration.ts';
import { UnreachableError } from '../errors.ts';
import { initialisedKey } from '../etcd/bootstrap.ts';
import { etcdCluster } from '../etcd/types/cluster.ts';
import { etcdMember } from '../etcd/types/member.ts';
import { readFacts } from '../host/facts.ts';
import type { HostsClients } from '../host/host.ts';
import { openHosts } from '../host/ssh.ts';
import { hostBundle } from '../host/types/bundle.ts';
import { hostPackages } from '../host/types/packages.ts';
import { type PoolBundleClients, poolBundle } from '../host/types/pool-bundle.ts';
import { hostUnits } from '../host/types/units.ts';
import type { KubeClients } from '../kube/clients.ts';
import { connectKube } from '../kube/connect.ts';
import { clientHours } from '../kube/credentials.ts';
import { addonKindsOf } from '../kube/design.ts';
import { kubeAddon } from '../kube/types/addon.ts';
import { kubeApi } from '../kube/types/api.ts';
import { kubeCertificate } from '../kube/types/certificate.ts';
import { kubeHolders, kubeObjects } from '../kube/types/manifests.ts';
import { kubeNode } from '../kube/types/node.ts';
import { kubePool } from '../kube/types/pool.ts';
import { kubeReady } from '../kube/types/ready.ts';
import type { SecretsClients } from '../pki/clients.ts';
import { pkiAuthority } from '../pki/types/authority.ts';
import { pkiCertificate } from '../pki/types/certificate.ts';
import { secret } from '../pki/types/secret.ts';
import { type Layer, typeOf } from '../plan/resource.ts';
import { emptyStore } from '../store/empty.ts';
import { openSealing, type Sealing, secretsOf } from '../store/sealing.ts';
import type { Store } from '../store/store.ts';
import { type AccessBy, accessBy, machinesBy } from './live.ts';
import type { LayersInput, LayersOutput } from './opened.ts';

/** The types of the layers that every provider shares. */
export const commonTypes = {
  secrets: [pkiAuthority, secret, storedAssetsType, poolBundle],
  hosts: [hostPackages, hostBundle, hostUnits, pkiCertificate, etcdCluster(readFacts), etcdMember(readFacts), kubeApi],
  kube: [kubePool, kubeCertificate, kubeAddon, kubeHolders, kubeObjects, kubeNode, kubeReady],
} as const;

/** The real layers: secrets in the store, the provider, hosts over SSH, the Kubernetes API. Nothing is reached before something asks. */
export async function connectLayers(input: LayersInput): Promise<LayersOutput> {
  const { opened, design } = input;
  const store = input.store ?? emptyStore;
  const sealing = openSealing({
    store,
    recipients: opened.cluster.secrets.recipients,
    identityFile: join(opened.directories.config, 'identity.txt'),
  });
  const access = accessBy(opened.provider, () => design().topology);
  const hosts = hostsClients(input, store, sealing, access);
  const kube = kubeClients(input, sealing, hosts);
  const machine = typeOf(opened.provider.machineAddress('any'));

  const secretsLayer: Layer<SecretsClients & UploadClients & PoolBundleClients> = {
    name: 'secrets',
    types: commonTypes.secrets,
    connect: async () => ({
      sealing,
      uid: design().topology.uid,
      now: opened.now,
      store,
      assetFile: (path) => opened.assets.file(path),
      poolBundle(pool) {
        const { bundles, topology } = design();
        return bundles.get(topology.groups.find((group) => group.pool === pool)?.bundle ?? '');
      },
    }),
  };
  const hostsLayer: Layer<HostsClients> = {
    name: 'hosts',
    types: commonTypes.hosts.map((type) => (type === hostBundle ? { ...hostBundle, dependsOn: [machine] } : type)),
    async connect(below) {
      access.above(below);
      return hosts;
    },
    close: (clients) => clients.hosts.close(),
  };
  const kubeLayer: Layer<KubeClients> = {
    name: 'kube',
    // Only a machine that is gone runs none of its pods for certain.
    types: commonTypes.kube.map((type) => (type === kubeNode ? { ...kubeNode, deletedAfter: [machine] } : type)),
    connect: async () => kube,
    close: async (clients) => clients.close(),
  };
  return {
    layers: [secretsLayer, opened.provider, hostsLayer, kubeLayer],
    secrets: secretsOf(sealing),
    seal: sealing.sealStream,
    reach: { hosts: () => hosts, kube: () => kube },
  };
}

function hostsClients(
  { opened, design, generation }: LayersInput,
  store: Store,
  sealing: Sealing,
  { access }: AccessBy,
): HostsClients {
  const { uid } = design().topology;
  const machines = machinesBy(design);
  const text = new TextDecoder();
  return {
    hosts: openHosts({
      access,
      privateKey: async () => {
        // Hosts without a key to reach them are unknown; that the records are lost is `up`'s to say.
        if (!(await sealing.has('ssh')))
          throw new UnreachableError({ what: "the cluster's SSH key is not there", where: store.url });
        return text.decode(await sealing.reveal('ssh'));
      },
      signal: opened.signal,
    }),
    get machines() {
      return machines();
    },
    uid,
    generation,
    records: {
      get: async (key) => {
        const found = await store.get(`records/${key}`);
        return found && text.decode(await found.bytes());
      },
      put: async (key, value) => {
        await store.put(`records/${key}`, new TextEncoder().encode(value));
      },
    },
    delivery: opened.provider.delivery,
    storedAssets: () => storedAssets(store),
    assetFile: (path) => opened.assets.file(path),
    now: opened.now,
  };
}

/** The CLI talks to the API as an administrator of its own making, for as long as one command runs. */
function kubeClients({ opened, design }: LayersInput, sealing: Sealing, hosts: HostsClients): KubeClients {
  const { topology, addons, manifests } = design();
  return connectKube({
    uid: topology.uid,
    readyWithinMs: durationMs(opened.cluster.upgrade.readyWithin),
    access: () => hosts.hosts.access(),
    masters: machinesOf(topology, 'master').map((machine) => machine.name),
    async credentials() {
      const part = await sealing.publicPart('authority.kubernetes');
      const caPem = part?.certificate;
      if (caPem === undefined) throw new UnreachableError({ what: 'the cluster has no authority yet', next: 'cluster up' });
      const keyPem = new TextDecoder().decode(await sealing.reveal('authority.kubernetes'));
      const { issueClient } = await import('../pki/admin.ts');
      return {
        caPem,
        ...(await issueClient({
          authority: { certPem: caPem, keyPem },
          cn: `slipway:${opened.holder}`,
          o: ['system:masters'],
          hours: clientHours,
          now: opened.now(),
        })),
      };
    },
    initialised: async () => (await hosts.records.get(initialisedKey('main'))) !== undefined,
    hosts: hosts.hosts,
    addonKinds: addonKindsOf(addons),
    manifests,
    now: opened.now,
  });
}
