import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The agent, one file, made of this very source by scripts/bundle-agent.ts and shipped in the package. Its version is the digest of its
 * content; in a checkout that runs from source it is `source`, and what was built last is used.
 */
export const fromSource = 'source';
const near = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const places = ['../agent/bundle', '../../dist/src/agent/bundle'].map(near);

let version: string | undefined;
export function agentVersion(): string {
  const file = `${places[0]}/version`;
  version ??= existsSync(file) ? readFileSync(file, 'utf8').trim() : fromSource;
  return version;
}

/** Undefined: this checkout was never built. */
export const agentFile = (): string | undefined => places.map((place) => `${place}/agent.mjs`).find((file) => existsSync(file));

/** The Node that runs this, where the hosts can run it too. */
export const ownRuntime = (wanted: string): string | undefined =>
  process.platform === 'linux' && process.arch === 'x64' && process.version === `v${wanted}` ? process.execPath : undefined;
