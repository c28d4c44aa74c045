import { UserError } from '../../src/errors.ts';
import type { Context } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { polled } from './polls.ts';

/** On the instance: its SSH host key, once the CLI has read it. The machine itself may not change its tags. */
export const hostKeyTag = 'slipway.dev/host-key';

const pollMs = 1000;
/** A boot takes half a minute, on a small machine and with a slow image two. */
const timeoutMs = 300_000;
const published = polled(async ({ store }) => new Set(await store?.list('hosts/')), pollMs);

/** Waits, bounded, for the SSH host key that a machine's first boot publishes under its own identity (`ROLE-ID:INSTANCE-ID`). */
export async function publishedHostKey(identity: string, ctx: Context<AwsClients>): Promise<string> {
  const { clients, address } = ctx;
  const key = `hosts/${identity}/host-key`;
  for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
    if (!(await published(ctx)).has(key)) continue;
    const found = await clients.store?.get(key);
    const text = found ? new TextDecoder().decode(await found.bytes()).trim() : '';
    if (/^ssh-ed25519 [A-Za-z0-9+/]{60,100}={0,2}$/.test(text)) return text;
    throw new UserError({
      what: 'what the machine published is no SSH host key',
      where: `${address} (${key})`,
      next: 'terminate the instance, then run the same command again: it is made anew',
    });
  }
  const id = identity.slice(identity.indexOf(':') + 1);
  throw new UserError({
    what: `instance ${id} has not published its SSH host key within ${timeoutMs / 1000} s`,
    where: address,
    why: 'its first boot failed, or it reaches neither its metadata nor the store',
    next: `read its console (aws ec2 get-console-output --latest --instance-id ${id}); then run the same command again`,
  });
}
