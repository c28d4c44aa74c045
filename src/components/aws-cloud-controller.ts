import { imageName } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import { sha256 } from '../plan/canonical.ts';
import type { Addon } from './addons.ts';
import { manifest } from './manifest.ts';
import { ownApiServer } from './placement.ts';

const name = 'aws-cloud-controller-manager';

/**
 * The cloud's view of nodes (provider IDs, addresses, zone and instance-type labels) and load balancers of Services. On masters, with the
 * host's network: its credentials are the master's instance profile, which a hop limit of 1 keeps from pods (hard part 20).
 * `endpoint`: where the AWS API is, instead of AWS's own; the SDK in it reads that from the environment.
 */
export function awsCloudController(topology: Topology, endpoint: string | undefined): Addon {
  const { cluster, region, versions } = topology;
  return {
    name: 'aws-cloud-controller',
    objects: manifest('addons/aws-cloud-controller.yaml', {
      image: imageName('aws-cloud-controller', versions),
      cluster: cluster.name,
      region,
      config: JSON.stringify(sha256(`${region} ${cluster.name}`).slice(0, 12)),
      env: JSON.stringify([...ownApiServer, ...(endpoint === undefined ? [] : [{ name: 'AWS_ENDPOINT_URL', value: endpoint }])]),
    }),
    ready: [{ kind: 'DaemonSet', namespace: 'kube-system', name }],
    certificates: [],
  };
}
