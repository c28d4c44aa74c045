import type { Topology } from '../cluster/topology.ts';
import { etcdClustersOf, etcdUnit } from './etcd.ts';
import { type Part, textFile } from './part.ts';
import { render } from './template.ts';

const script = '/etc/slipway/volumes';
/** How long a volume may take to be attached, in seconds. */
const patience = 300;

/** Where the cloud only attaches volumes and the host must mount them: before etcd, whose units start on nothing else (hard part 6). */
export function volumes(topology: Topology): Part {
  if (!topology.cluster.provider.aws) return {};
  const units = etcdClustersOf(topology).map(etcdUnit).join(' ');
  return {
    files: [textFile(script, render('config/volumes-aws.sh', { patience }), '0755')],
    units: [
      {
        name: 'slipway-volumes.service',
        text: render('units/slipway-volumes.service', { units, script, timeout: 2 * patience + 60 }),
        inputs: [script],
        certificates: [],
        // A restart mounts nothing anew and unmounts nothing.
        serving: false,
      },
    ],
  };
}
