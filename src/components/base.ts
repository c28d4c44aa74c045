import type { Topology } from '../cluster/topology.ts';
import { isLocal } from './host-env.ts';
import type { Part } from './part.ts';
import { textFile } from './part.ts';
import { render } from './template.ts';

const sysctlFile = '/etc/sysctl.d/90-slipway.conf';
const journaldFile = '/etc/systemd/journald.conf.d/90-slipway.conf';

const routing = {
  'net.ipv4.ip_forward': '1',
  'net.ipv4.conf.all.forwarding': '1',
  // Replies may leave by another interface than the request came by (pods, VXLAN): loose checking.
  'net.ipv4.conf.all.rp_filter': '2',
  'net.ipv4.conf.default.rp_filter': '2',
};
/** Not in local machines: they share these with the host, where preflight asks for them. */
const wholeKernel = {
  'fs.inotify.max_user_instances': '8192',
  'fs.inotify.max_user_watches': '524288',
  'kernel.panic': '10',
  'kernel.panic_on_oops': '1',
  'vm.overcommit_memory': '1',
};

/** What every host has: kernel settings and limits of its journal. `node` adds what running pods needs. */
export function base(topology: Topology, { node }: { readonly node: boolean }): Part {
  const settings = { ...(node ? routing : {}), ...(isLocal(topology) ? {} : wholeKernel) };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`);
  return {
    files: [
      textFile(sysctlFile, render('config/sysctl.conf', { settings: lines.join('\n') })),
      textFile(journaldFile, render('config/journald.conf', { max: isLocal(topology) ? '64M' : '1G' })),
    ],
    units: [
      {
        name: 'slipway-host.service',
        text: render('units/slipway-host.service'),
        inputs: [sysctlFile, journaldFile],
        certificates: [],
        serving: false,
      },
    ],
  };
}
