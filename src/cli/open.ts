import { randomBytes, randomUUID } from 'node:crypto';
import { isAbsolute, join, resolve } from 'node:path';
import { loadCluster } from '../config/load.ts';
import type { Cluster } from '../config/schema.ts';
import { exitCodes, UserError } from '../errors.ts';
import { openAssetPort } from '../lifecycle/assets.ts';
import { connectLayers } from '../lifecycle/layers.ts';
import type { Opened } from '../lifecycle/opened.ts';
import type { Provider } from '../provider.ts';
import { runCommand } from '../rollout/gate-command.ts';
import type { Emit } from '../run/events.ts';
import type { Environment } from './env.ts';

export interface OpenInput {
  /** As given with `-f`, relative to the current directory. */
  readonly file: string;
  readonly env: Environment;
  readonly version: string;
  readonly signal: AbortSignal;
  readonly emit: Emit;
  /** As if the file had been edited so: for a dry run, which changes no file. */
  readonly edit?: (text: string) => string;
}

/** The composition root: reads the file, loads its provider and nothing of the others, and hands the ports to whoever runs the command. */
export async function openCluster({ file, env, version, signal, emit, edit }: OpenInput): Promise<Opened> {
  const { cluster, text, digest, findings, manifests, gateJobs } = await loadCluster(
    isAbsolute(file) ? file : resolve(env.cwd, file),
    edit,
  );
  const directories = { config: env.configDir, state: env.stateDir, cache: env.cacheDir };
  return {
    cluster,
    file,
    text,
    manifests,
    gateJobs,
    runCommand,
    env: env.variables,
    specDigest: digest,
    findings,
    provider: await loadProvider(cluster, directories, env.variables),
    tool: `slipway ${version}`,
    directories,
    assets: openAssetPort({ directory: join(env.cacheDir, 'assets'), mirror: cluster.assets.mirror, env: env.variables, emit }),
    emit,
    signal,
    layers: connectLayers,
    now: Date.now,
    newUid: randomUUID,
    randomBytes,
    holder: env.user,
    host: env.hostname,
    commandLine: env.commandLine,
  };
}

async function loadProvider(
  cluster: Cluster,
  directories: Opened['directories'],
  variables: Environment['variables'],
): Promise<Provider> {
  if (cluster.provider.local) {
    const { openLocal } = await import('../../providers/local/provider.ts');
    return openLocal({
      cluster: cluster.name,
      stateDirectory: directories.state,
      assetDirectory: join(directories.cache, 'assets'),
      dockerHost: variables['DOCKER_HOST'],
    });
  }
  if (cluster.provider.aws) {
    const { openAws } = await import('../../providers/aws/provider.ts');
    // What the SDK reads for this process holds for the cluster's machines, too: an emulator, a private endpoint.
    const endpoint = variables['AWS_ENDPOINT_URL'];
    const askPrices = variables['SLIPWAY_AWS_PRICES'] === 'ask';
    const stateDirectory = directories.state;
    return openAws({
      cluster,
      endpoint,
      askPrices,
      stateDirectory,
      ...(endpoint !== undefined && { machineEndpoints: { s3: endpoint } }),
    });
  }
  throw new UserError(
    { what: 'provider gcp is not in this version of Slipway yet', where: 'provider', next: 'use provider.local or provider.aws' },
    exitCodes.config,
  );
}
