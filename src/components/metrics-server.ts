import { imageName } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import type { Addon } from './addons.ts';
import { manifest } from './manifest.ts';
import { leafLifetimeDays } from './pki.ts';
import { addonTolerations } from './placement.ts';

export const metricsServer = (topology: Topology): Addon => ({
  name: 'metrics-server',
  objects: manifest('addons/metrics-server.yaml', {
    image: imageName('metrics-server', topology.versions),
    tolerations: addonTolerations(topology),
  }),
  ready: [
    { kind: 'Deployment', namespace: 'kube-system', name: 'metrics-server' },
    { kind: 'APIService', namespace: '', name: 'v1beta1.metrics.k8s.io' },
  ],
  certificates: [
    {
      secret: { namespace: 'kube-system', name: 'metrics-server-tls' },
      authority: 'kubernetes',
      subject: { cn: 'metrics-server' },
      sans: { dns: ['metrics-server.kube-system.svc', 'metrics-server.kube-system.svc.cluster.local'], ip: [] },
      usages: ['server'],
      lifetimeDays: leafLifetimeDays,
    },
  ],
});
