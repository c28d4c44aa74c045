import { instantOf } from '../config/instant.ts';
import { exitCodes, UserError } from '../errors.ts';
import { nameOf, typeOf } from '../plan/resource.ts';
import type { Session } from './session.ts';

/** `os.packages` goes forward, and not beyond today. Throws UserError (config). */
export function refusePackagesDate({ opened, seen }: Pick<Session, 'opened' | 'seen'>): void {
  const { packages } = opened.cluster.os;
  if (packages === undefined) return;
  const since = instantOf(packages);
  const refuse = (what: string, why: string, next: string): never => {
    throw new UserError({ what, where: opened.file, why, next }, exitCodes.config);
  };
  const now = new Date(opened.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  if (since > now)
    refuse(
      `os.packages: ${packages} has not come yet`,
      `it is ${now}: nothing can be upgraded on or after it`,
      'set it to today, or to a time before now',
    );
  for (const [address, found] of seen.entries()) {
    if (typeOf(address) !== 'host.packages' || found.state !== 'present' || !('asked' in found.outputs)) continue;
    const { asked } = found.outputs;
    if (typeof asked === 'string' && asked > since)
      refuse(
        `os.packages cannot go back to ${packages}`,
        `the packages of ${nameOf(address)} were upgraded for ${asked}, and packages are not taken back`,
        `leave it at ${asked}, or take os.packages out: then Slipway leaves packages alone`,
      );
  }
}
