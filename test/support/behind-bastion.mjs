// Given to a built `cluster` by --import: the local provider's API is then reached as on a cloud, behind the bastion and by its name, which machines know; or by that
// of SLIPWAY_TEST_API.
import { registerHooks } from 'node:module';

const real = new URL('../../dist/providers/local/access.js', import.meta.url).href;
const { access: direct } = await import(real);

/** In place of providers/local/access.ts. */
export function access(topology, seen) {
  const found = direct(topology, seen);
  const { name, port } = topology.api;
  return {
    ...found,
    api: found.api && { server: `https://${process.env.SLIPWAY_TEST_API ?? name}:${port}`, tlsServerName: name, via: 'bastion' },
  };
}

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    return found.url === real ? { ...found, url: import.meta.url } : found;
  },
});
