import { imageName } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import { sha256 } from '../plan/canonical.ts';
import type { Addon, AddonOptions } from './addons.ts';
import { manifest } from './manifest.ts';
import { ownApiServer } from './placement.ts';

const name = 'aws-cloud-controller-manager';

/**
 * The cloud's view of nodes (provider IDs, addresses, zone and instance-type labels) and load balancers of Services. On masters, with the
 * host's network: its credentials are the master's instance profile, which a hop limit of 1 keeps from pods (hard part 20).
 * `endpoints`: instead of AWS's own; the SDK in it reads them from the environment.
 */
export function awsCloudController(topology: Topology, endpoints: AddonOptions['cloudEndpoints'] = {}): Addon {
  const { cluster, region, versions } = topology;
  return {
    name: 'aws-cloud-controller',
    objects: manifest('addons/aws-cloud-controller.yaml', {
      image: imageName('aws-cloud-controller', versions),
      cluster: cluster.name,
      region,
      config: JSON.stringify(sha256(`${region} ${cluster.name}`).slice(0, 12)),
      env: JSON.stringify([
        ...ownApiServer,
        ...(endpoints.api === undefined ? [] : [{ name: 'AWS_ENDPOINT_URL', value: endpoints.api }]),
        ...(endpoints.metadata === undefined ? [] : [{ name: 'AWS_EC2_METADATA_SERVICE_ENDPOINT', value: endpoints.metadata }]),
      ]),
    }),
    ready: [{ kind: 'DaemonSet', namespace: 'kube-system', name }],
    certificates: [],
  };
}
