import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { withProviderDefaults } from '../src/config/provider-defaults.ts';
import { type Cluster, clusterSchema } from '../src/config/schema.ts';

/** An example, with an image that the emulator has. */
export function clusterOf(file: string): Cluster {
  const cluster = clusterSchema.parse(withProviderDefaults(parse(readFileSync(file, 'utf8'))));
  const { aws } = cluster.provider;
  if (!aws) throw new Error(`${file} is not on AWS`);
  const image = { owner: 'amazon', name: 'amzn2-ami-hvm-2.*-x86_64-*' };
  return { ...cluster, provider: { ...cluster.provider, aws: { ...aws, image } } };
}
