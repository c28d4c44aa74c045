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
  const local = isLocal(topology);
  const settings = Object.entries({ ...(node ? routing : {}), ...(local ? {} : wholeKernel) });
  // The image of local machines has a journal of its own measure.
  const inputs = [...(settings.length > 0 ? [sysctlFile] : []), ...(local ? [] : [journaldFile])];
  if (inputs.length === 0) return {};
  const commands = [
    ...(settings.length > 0 ? [`ExecStart=/usr/lib/systemd/systemd-sysctl ${sysctlFile}`] : []),
    ...(local ? [] : ['ExecStart=-/usr/bin/systemctl --no-block try-restart systemd-journald.service']),
  ];
  const sysctl = settings.map(([key, value]) => `${key} = ${value}`).join('\n');
  return {
    files: [
      ...(settings.length > 0 ? [textFile(sysctlFile, render('config/sysctl.conf', { settings: sysctl }))] : []),
      ...(local ? [] : [textFile(journaldFile, render('config/journald.conf', { max: '1G' }))]),
    ],
    units: [
      {
        name: 'slipway-host.service',
        text: render('units/slipway-host.service', { commands: commands.join('\n') }),
        inputs,
        certificates: [],
        serving: false,
      },
    ],
  };
}
