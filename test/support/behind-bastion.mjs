// Given to a built `cluster` by --import: the local provider's API is then reached as on a cloud, behind the bastion, at the balancer's address in
// the machines' network; or, with SLIPWAY_TEST_API=name, at its name, which then has to resolve on the bastion.
import { registerHooks } from 'node:module';

const real = new URL('../../dist/providers/local/access.js', import.meta.url).href;
const { access: direct } = await import(real);

/** In place of providers/local/access.ts. */
export function access(topology, seen) {
  const found = direct(topology, seen);
  const { name, address, port } = topology.api;
  const host = process.env.SLIPWAY_TEST_API === 'name' ? name : address;
  return { ...found, api: found.api && { server: `https://${host}:${port}`, tlsServerName: name, via: 'bastion' } };
}

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    return found.url === real ? { ...found, url: import.meta.url } : found;
  },
});
