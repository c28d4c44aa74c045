import type { Finding } from '../../src/config/finding.ts';
import { type Check, ok, unasked, type Verifying } from './verify-check.ts';
import { verifyMachines } from './verify-machines.ts';
import { verifyNames } from './verify-names.ts';
import { verifyNetwork } from './verify-network.ts';
import { verifyPermissions } from './verify-permissions.ts';
import { verifyQuotas } from './verify-quotas.ts';
import { worldOf } from './verify-world.ts';

const checks: readonly (readonly [check: string, what: string, ask: Check])[] = [
  ['aws.permissions', 'what these credentials may do', verifyPermissions],
  ['aws.machines', 'zones, machine types and the image', verifyMachines],
  ['aws.network', 'the network', verifyNetwork],
  ['aws.names', 'whether names are taken', verifyNames],
  ['aws.quotas', 'the quotas of the account', verifyQuotas],
];
/** One slow service keeps no command for longer. */
const patienceMs = 30_000;

/** Everything that would make `up` fail, all at once: the checks run side by side, and what one could not ask is a warning of its own. */
export async function* verify(of: Verifying): AsyncGenerator<Finding> {
  yield ok('aws.account', `account ${of.account}, region ${of.region}`);
  const signal = AbortSignal.any([of.signal, AbortSignal.timeout(patienceMs)]);
  const bounded: Verifying = { ...of, signal };
  const world = worldOf(bounded);
  const asked = checks.map(async ([check, what, ask]): Promise<readonly Finding[]> => {
    try {
      return await ask(bounded, world);
    } catch (error) {
      of.signal.throwIfAborted();
      return [unasked(check, what, signal.aborted ? 'AWS gave no answer in time' : error)];
    }
  });
  // One that fails must not be unhandled while another is waited for.
  for (const findings of await Promise.all(asked)) yield* findings;
}
