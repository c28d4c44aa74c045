import { imageName, imagesOf } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import { type Part, textFile } from './part.ts';
import { assets, installed, installedDirectory } from './paths.ts';
import { render } from './template.ts';

const configFile = '/etc/containerd/config.toml';
const cniTemplateFile = '/etc/containerd/cni.conflist.tmpl';
/** Gives containerd the images of the bundle, as often as that changes; it restarts nothing else. */
export const importScript = '/etc/slipway/import-images';
export const imagesUnit = 'slipway-images.service';

/** containerd with the images (by asset name) that its nodes are going to run. */
export function containerd(topology: Topology, images: readonly string[]): Part {
  const { versions } = topology;
  const ownNetwork = topology.cluster.network.plugin === 'flannel';
  const config = render('config/containerd.toml', {
    pause: imageName('pause', versions),
    cni: installedDirectory('ptp', versions),
    // Empty: whoever brings the pod network writes /etc/cni/net.d.
    template: ownNetwork ? cniTemplateFile : '',
    runc: installed('runc', versions),
  });
  const path = [
    installedDirectory('containerd', versions),
    installedDirectory('runc', versions),
    '/usr/sbin',
    '/usr/bin',
    '/sbin',
    '/bin',
  ];
  return {
    files: [
      textFile(configFile, config),
      ...(ownNetwork ? [textFile(cniTemplateFile, render('config/cni.conflist.tmpl', { mtu: podMtu(topology) }))] : []),
      textFile(importScript, importImages(topology, images), '0755'),
    ],
    units: [
      {
        name: 'containerd.service',
        text: render('units/containerd.service', { binary: installed('containerd', versions), path: path.join(':') }),
        inputs: [configFile, ...(ownNetwork ? [cniTemplateFile] : [])],
        certificates: [],
        serving: false,
      },
      {
        name: imagesUnit,
        text: render('units/slipway-images.service'),
        inputs: [importScript],
        certificates: [],
        serving: false,
      },
    ],
    assets: [
      ...assets(
        ['containerd', 'containerd-shim-runc-v2', 'ctr', 'runc', 'ptp', 'bridge', 'loopback', 'host-local', 'portmap'],
        versions,
      ),
      ...assets(images, versions),
    ],
  };
}

const importImages = (topology: Topology, names: readonly string[]): string =>
  render('config/import-images.sh', {
    ctr: installed('ctr', topology.versions),
    imports: imagesOf(topology.versions)
      .filter(({ name }) => names.includes(name))
      .map(({ image, path }) => `import ${image} /opt/slipway/${path}`)
      .join('\n'),
  });

/** MTU inside the pod network: the machines' network less 50 bytes of VXLAN. */
const podMtu = (topology: Topology): number => {
  const { provider } = topology.cluster;
  return provider.aws ? 8951 : provider.gcp ? 1410 : 1450;
};
