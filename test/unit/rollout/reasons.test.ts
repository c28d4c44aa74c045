import { expect, it } from 'vitest';
import { forProvider, versionsFor } from '../../../src/assets/catalogue.ts';
import { reasonsOf, restartsOf, versionsBetween, versionsIn } from '../../../src/rollout/reasons.ts';

const change = {
  address: 'aws.machine/master-a',
  fields: [
    { path: 'image', before: 'ami-1', after: { pending: 'aws.image/machine' }, impact: 'replace' },
    { path: 'type', before: 'm5.large', after: 'm6i.large', impact: 'replace' },
    { path: 'userData', before: null, after: 'x'.repeat(200), impact: 'replace' },
    { path: 'tags', before: {}, after: { a: 'b' }, impact: 'none' },
    { path: 'units.kubelet.service', before: 'a', after: 'b', impact: 'restart', note: 'restarts kubelet, containerd' },
    {
      path: 'units.kubelet.service.current',
      before: false,
      after: true,
      impact: 'none',
      note: 'restarts kubelet: it runs older content',
    },
  ],
} as const;

it('a machine is replaced because of fields, by name, with what they become', () => {
  expect(reasonsOf([change], 'replace')).toEqual([
    'aws.machine/master-a: image "ami-1" → known after aws.image/machine',
    'aws.machine/master-a: type "m5.large" → "m6i.large"',
    `aws.machine/master-a: userData nothing → "${'x'.repeat(78)}…`,
  ]);
});
it('a unit restarts once, whatever the reasons', () => {
  expect(restartsOf([change])).toEqual(['kubelet', 'containerd']);
});
it('versions of the whole cluster move by name, those of its cloud too', () => {
  const at = (kubernetes: string) => forProvider(versionsFor(kubernetes), { aws: {} });
  expect(versionsBetween(at('1.35.4'), at('1.36.3'))).toEqual([
    { what: 'Kubernetes', before: '1.35.4', after: '1.36.3' },
    { what: 'pause', before: '3.10.1', after: '3.10.2' },
    { what: 'AWS cloud controller', before: '1.35.0', after: '1.36.1' },
    { what: 'cluster-autoscaler', before: '1.35.2', after: '1.36.1' },
  ]);
  expect(versionsBetween(at('1.36.3'), at('1.36.3'))).toEqual([]);
});
it('runc and the CNI plugins are known by the paths that configurations name', () => {
  const side = (version: string) => ({
    content: {
      text: `bin_dirs = ['/opt/slipway/cni/${version}', '/opt/cni/bin']\nBinaryName = '/opt/slipway/runc/${version}/runc'\n`,
    },
  });
  expect(versionsIn([{ path: '/etc/containerd/config.toml', before: side('1.2.3'), after: side('1.3.0') }])).toEqual([
    { what: 'cni', before: '1.2.3', after: '1.3.0' },
    { what: 'runc', before: '1.2.3', after: '1.3.0' },
  ]);
});
