import { expect, test } from 'vitest';
import { withoutWayOut } from '../../../providers/aws/verify-network.ts';
import { aCluster } from '../../support/builders.ts';

test('no NAT in a VPC of its own is warned of: nothing in it reaches EC2', () => {
  const found = (aws: object) =>
    withoutWayOut(aCluster({ provider: { aws: { region: 'eu-west-1', ...aws } }, zones: ['eu-west-1a'] })).map(
      ({ where }) => where,
    );
  expect(found({ nat: 'none' })).toEqual(['provider.aws.nat']);
  expect(found({ nat: 'single' })).toEqual([]);
  expect(found({ nat: 'none', vpc: { id: 'vpc-0123456789abcdef0' } })).toEqual([]);
});
