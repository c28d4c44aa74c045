import type { Access } from './host.ts';

/** As messages name it: `bastion 203.0.113.7`. */
export function nameOfBastion({ bastion }: Access): string {
  if (!bastion) return 'the bastion';
  return `bastion ${bastion.address}${bastion.port === 22 ? '' : `:${bastion.port}`}`;
}

/** Of an `https://` URL, as a connection takes them. */
export function hostAndPort(server: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(server);
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? 443 : Number(port) };
}
