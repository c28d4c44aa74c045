import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Cluster } from '../../src/config/schema.ts';
import { anImage, type Infrastructure, infrastructure } from '../support/aws/infrastructure.ts';
import { type Account, type Moto, newAccount, startMoto } from '../support/aws/moto.ts';
import { type AwsProxy, startProxy } from '../support/aws/proxy.ts';
import { aCluster } from '../support/builders.ts';

const region = 'eu-central-1';
const small = (over: Parameters<typeof aCluster>[0] = {}): Cluster =>
  aCluster({
    provider: { aws: { region, image: { owner: 'self', name: 'debian-12-*' } } },
    zones: ['eu-central-1a'],
    etcd: { count: 1, machine: { type: 't3.medium' } },
    masters: { count: 1, machine: { type: 't3.large' } },
    bastion: { machine: { type: 't3.micro' } },
    network: { machines: '10.0.0.0/16' },
    pools: [{ name: 'workers', min: 1, max: 3, machine: { type: 't3.large' } }],
    ...over,
  });

let moto: Moto;
let proxy: AwsProxy;
let account: Account;
let image: string;
const open: Infrastructure[] = [];
beforeAll(async () => {
  moto = await startMoto();
  proxy = await startProxy(moto);
});
afterAll(async () => {
  for (const one of open) await one.boots.stop();
  proxy.close();
  await moto.stop();
});
beforeEach(async () => {
  for (const one of open.splice(0)) await one.boots.stop();
  proxy.clear();
  account = newAccount();
  image = await anImage({ moto, account, region }, 'debian-12-amd64-1');
});
const opened = async (cluster = small()): Promise<Infrastructure> => {
  const one = await infrastructure(cluster, { moto, proxy, account });
  open.push(one);
  return one;
};
const clean = (): void => {
  expect(proxy.violations).toEqual([]);
  expect(
    proxy.accidents.map(({ call, status, body }) => `${call.service}.${call.action} ${status} ${body.slice(0, 300)}`),
  ).toEqual([]);
};

test('machines come up, plan empty, and go', async () => {
  const one = await opened();
  const plan = await one.look();
  expect(plan.changes.filter(({ action }) => action !== 'create')).toEqual([]);
  const result = await one.carryOut(plan);
  expect(result.failed.map(({ step, error }) => `${step.id}: ${error}`)).toEqual([]);
  const again = await one.look();
  expect(again.changes).toEqual([]);
  expect(one.seen.get('aws.image/machine')).toMatchObject({ outputs: { id: image } });
  clean();
  await one.converge({ command: 'down', allowDataLoss: true });
  clean();
});
