import type { Access } from './host.ts';

/** As messages name it: `bastion 203.0.113.7`. */
export function nameOfBastion({ bastion }: Access): string {
  if (!bastion) return 'bastion';
  return `bastion ${bastion.address}${bastion.port === 22 ? '' : `:${bastion.port}`}`;
}
