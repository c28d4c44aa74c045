import { expect, test } from 'vitest';
import { placeByName } from '../../../src/ui/place.ts';

test.each([
  ['aws.subnet/private-eu-central-1a', { role: 'network', zone: 'eu-central-1a' }],
  ['aws.nat-gateway/us-gov-west-1b', { role: 'network', zone: 'us-gov-west-1b' }],
  ['aws.pool/web-api-eu-central-1a', { role: 'worker', zone: 'eu-central-1a' }],
  ['kube.pool/web-eu-central-1c', { role: 'worker', zone: 'eu-central-1c' }],
  ['aws.volume/etcd-eu-central-1a-2.main', { role: 'etcd', zone: 'eu-central-1a' }],
  ['local.machine/workers-c-1', { role: 'worker', zone: 'c' }],
  ['aws.security-group/bastion', { role: 'bastion', zone: undefined }],
  ['aws.vpc/main', undefined],
  ['aws.launch-template/web', undefined],
  ['pki.authority/etcd-peer', undefined],
] as const)('%s lies where its name says', (address, place) => expect(placeByName(address)).toEqual(place));
