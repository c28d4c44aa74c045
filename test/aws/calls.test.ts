import { ModifyVpcAttributeCommand } from '@aws-sdk/client-ec2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAws } from '../../providers/aws/provider.ts';
import { withProviderDefaults } from '../../src/config/provider-defaults.ts';
import { clusterSchema } from '../../src/config/schema.ts';
import type { ObservedMap } from '../../src/plan/observed.ts';
import { recordText } from '../../src/store/record.ts';
import { recordKey } from '../../src/store/store.ts';
import { type Infrastructure, infrastructure, wordsOf } from '../support/aws/infrastructure.ts';
import { type Moto, startMoto } from '../support/aws/moto.ts';
import { type AwsPlace, awsPlace } from '../support/aws/place.ts';

let moto: Moto;
beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto.stop());

const cluster = clusterSchema.parse(
  withProviderDefaults({
    apiVersion: 'slipway/v1',
    kind: 'Cluster',
    name: 'demo',
    provider: { aws: { region: 'eu-west-1', image: { owner: 'amazon', name: 'amzn2-ami-hvm-2.*-x86_64-*' } } },
    zones: ['eu-west-1a'],
    etcd: { count: 1 },
    masters: { count: 1 },
    pools: [{ name: 'workers', min: 1, max: 3 }],
  }),
);
const asked = async (place: AwsPlace, look: () => Promise<unknown>): Promise<readonly string[]> => {
  const before = place.proxy.calls.length;
  await look();
  return place.proxy.calls.slice(before).map(({ action }) => action);
};

test('a look at a cluster asks once for each kind of thing that no other answer tells, and for the rest only where that tells too little', async () => {
  const place = await awsPlace(moto, cluster);
  const one = await infrastructure(place);
  await one.converge();
  const actions = await asked(place, async () => expect(wordsOf(await one.look())).toEqual([]));
  expect(actions.toSorted()).toEqual(
    [
      ...['DescribeTags', 'DescribeSubnets', 'DescribeRouteTables', 'DescribeSecurityGroups', 'DescribeVolumes'],
      ...['DescribeInstances', 'DescribeAutoScalingGroups'],
      ...['DescribeLoadBalancers', 'DescribeTargetGroups', 'DescribeTags', 'DescribeTargetHealth', 'DescribeListeners'],
      ...['GetAccountAuthorizationDetails', 'ListResourceRecordSets'],
    ].sort(),
  );

  // No name of the bastion says any more that both DNS attributes are on.
  const id = idOf(one.seen.get('aws.vpc/main'));
  await one.clients.ec2.send(new ModifyVpcAttributeCommand({ VpcId: id, EnableDnsHostnames: { Value: false } }));
  expect(wordsOf(await one.look())).toEqual(['update aws.vpc/main: dnsHostnames']);
  await one.converge();

  // Facts that the store has lost are asked for, and learnt again.
  await inRecord(one, (known) => ({ ...known, facts: undefined }));
  const later = await infrastructure(place);
  const kinds = ['DescribeAddresses', 'DescribeNatGateways', 'DescribeVpcEndpoints', 'GetSubnetCidrReservations'];
  const lost = [...kinds, 'DescribeLaunchTemplateVersions'];
  expect(await asked(place, () => later.converge())).toEqual(expect.arrayContaining(lost));
  const again = await asked(place, async () => expect(wordsOf(await (await infrastructure(place)).look())).toEqual([]));
  for (const kind of lost) expect(again).not.toContain(kind);

  // A zone that the store does not remember is searched for, and one that it remembers wrongly.
  for (const zone of [undefined, 'Z000000000000']) {
    await inRecord(one, (known) => ({ ...known, zone }));
    const searched = await asked(place, async () => expect(wordsOf(await one.look())).toEqual([]));
    expect(searched).toContain('ListHostedZonesByName');
  }
  place.check();
  await place.close();
});

test('a store that is there proves the account that credentials name; where none is, AWS is asked, and a false claim ends there', async () => {
  const place = await awsPlace(moto, cluster);
  const { signal } = new AbortController();
  const claiming = (accountId: string) =>
    openAws({ cluster, endpoint: place.proxy.url, credentials: { ...place.account.credentials, accountId } });
  const looks = (accountId: string, create = false) =>
    asked(place, async () => (await claiming(accountId)).store(cluster, { create }, signal));
  const { id } = place.account;
  expect(await looks(id)).toEqual(['GetObject', 'GetCallerIdentity']);
  for (const create of [false, true])
    await expect(looks('999999999999', create)).rejects.toThrow(`of account ${id}, and say that they are of 999999999999`);
  expect(place.changes()).toBe(0);
  expect((await looks(id, true))[0]).toBe('GetCallerIdentity');
  expect(await looks(id)).toEqual(['GetObject']);
  await place.close();
});

/** Changes what the provider keeps in the record; `one` sees it. */
const inRecord = async ({ clients: { store } }: Infrastructure, change: (known: object) => object): Promise<void> => {
  if (!store) throw new Error('no store');
  const { provider, ...record } = JSON.parse((await recordText(store)) ?? '');
  await store.put(recordKey, Buffer.from(JSON.stringify({ ...record, provider: change(provider) }, null, 2)));
  await recordText(store);
};

const idOf = (seen: ReturnType<ObservedMap['get']>): string =>
  seen?.state === 'present' && 'id' in seen.outputs ? String(seen.outputs.id) : '';
