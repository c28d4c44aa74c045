import { afterAll, beforeAll } from 'vitest';
import { networkTypes } from '../../providers/aws/network-types.ts';
import { nameOf } from '../../src/plan/resource.ts';
import type { Provider } from '../../src/provider.ts';
import { providerContract } from '../contract/provider.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { networkDrifts } from '../support/aws/network-drifts.ts';
import { awsPlace } from '../support/aws/place.ts';
import { aCluster } from '../support/builders.ts';

let moto: Moto;
beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto.stop());

const cluster = aCluster({
  provider: { aws: { region: 'eu-west-1', tags: { team: 'blue' } } },
  zones: ['eu-west-1a', 'eu-west-1b'],
  bastion: { allowedCidrs: ['203.0.113.0/24'] },
});

/** The network alone, and the network interface that the bastion's address is for. */
const names = new Set<string>([...networkTypes.map(({ name }) => name), 'aws.network-interface']);
const networkOnly = (provider: Provider): Provider => ({
  ...provider,
  types: provider.types.filter(({ name }) => names.has(name)),
  leftovers: [],
  design: (topology) =>
    provider
      .design(topology)
      .filter(({ type, address }) => names.has(type) && (type !== 'aws.network-interface' || nameOf(address) === 'bastion')),
});

const runs = Number(process.env.SLIPWAY_CONTRACT_RUNS ?? 3);
providerContract({
  name: 'the network on AWS',
  async place() {
    const place = await awsPlace(moto, cluster);
    return { ...place, open: async () => networkOnly(await place.open()) };
  },
  drifts: networkDrifts,
  runs: {
    storms: runs,
    firstSeed: Number(process.env.SLIPWAY_CONTRACT_SEED ?? 1),
    killEvery: runs >= 500 ? 1 : 5,
    downEvery: 7,
    atOnce: 8,
  },
});
