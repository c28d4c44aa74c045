import type { BundleFile } from './bundle.ts';
import { certFile, keyFile, trustFile } from './pki.ts';
import { render } from './template.ts';

/** A kubeconfig on a host: the same text on every host of a bundle, since it names files and not material. */
export const kubeconfig = (
  name: string,
  server: string,
  credentials: { readonly certificate: string; readonly key: string } = { certificate: certFile(name), key: keyFile(name) },
): BundleFile => ({
  path: kubeconfigFile(name),
  mode: '0600',
  content: { text: render('config/kubeconfig.yaml', { name, server, ca: trustFile('kubernetes'), ...credentials }) },
});
export const kubeconfigFile = (name: string): string => `/etc/kubernetes/${name}.kubeconfig`;
