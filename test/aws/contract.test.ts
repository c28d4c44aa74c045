import { afterAll, beforeAll } from 'vitest';
import { withProviderDefaults } from '../../src/config/provider-defaults.ts';
import { clusterSchema } from '../../src/config/schema.ts';
import { providerContract } from '../contract/provider.ts';
import { edgeDrifts } from '../support/aws/edge-drifts.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { networkDrifts } from '../support/aws/network-drifts.ts';
import { awsPlace } from '../support/aws/place.ts';

let moto: Moto;
beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto.stop());

/** The smallest that has one of everything: one zone, one etcd machine, one master, one pool. */
const small = clusterSchema.parse(
  withProviderDefaults({
    apiVersion: 'slipway/v1',
    kind: 'Cluster',
    name: 'demo',
    provider: { aws: { region: 'eu-west-1' } },
    zones: ['eu-west-1a'],
    etcd: { count: 1 },
    masters: { count: 1 },
    pools: [{ name: 'workers', count: 1 }],
  }),
);

/** Every event and every call, for whoever looks for the place where a run hangs. */
const trace =
  process.env.SLIPWAY_CONTRACT_TRACE === undefined
    ? undefined
    : (of: object) => console.error(Math.round(performance.now()), JSON.stringify(of));

// A whole life, up and down, takes 3.3 s of processor time here: `npm test` takes a few, `npm run test:all` five hundred and every kill.
const runs = Number(process.env.SLIPWAY_CONTRACT_RUNS ?? 8);
providerContract({
  name: 'aws',
  place: () => awsPlace(moto, small, trace && ((call) => trace(call))),
  drifts: [...networkDrifts, ...edgeDrifts],
  given: { 'secret/ssh': { publicKey: `ssh-ed25519 ${'A'.repeat(68)}` } },
  ...(trace && { emit: trace }),
  runs: {
    storms: runs,
    firstSeed: Number(process.env.SLIPWAY_CONTRACT_SEED ?? 1),
    killEvery: runs >= 500 ? 1 : runs >= 100 ? 4 : 16,
    downEvery: runs >= 100 ? 5 : 2,
    atOnce: 8,
  },
});
