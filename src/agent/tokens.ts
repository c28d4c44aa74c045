import { joinGroup, tokenIds, tokenSecret } from '../components/joining.ts';
import type { AgentCloud } from './cloud.ts';
import type { AgentKube } from './kube.ts';

const lifetimeMs = 60 * 60_000;
/** A machine that fetched the one before may still be booting. */
const renewBelowMs = 35 * 60_000;

export interface Tokens {
  readonly kube: Pick<AgentKube, 'secret' | 'applySecret'>;
  readonly cloud: Pick<AgentCloud, 'token' | 'putToken'>;
  readonly now: number;
  readonly random: (bytes: number) => Uint8Array;
  readonly signal: AbortSignal;
}

/**
 * Sees to it that the store has a token for the new machines of a pool that is good for half an hour at least. Two take turns, so that one
 * that was just fetched stays good. True: a new one was made.
 */
export async function refreshToken(pool: string, { kube, cloud, now, random, signal }: Tokens): Promise<boolean> {
  const [first, second] = tokenIds(pool);
  const current = await cloud.token(pool, signal);
  const id = current?.split('.')[0];
  if (current !== undefined && (id === first || id === second)) {
    const secret = await kube.secret(tokenSecret(id), signal);
    const good = secret?.['token-secret'] === current.split('.')[1]?.trim();
    if (good && Date.parse(secret?.expiration ?? '') - now > renewBelowMs) return false;
  }
  const next = id === first ? second : first;
  const value = Array.from(random(16), (byte) => '0123456789abcdefghijklmnopqrstuv'[byte % 32]).join('');
  await kube.applySecret(
    tokenSecret(next),
    'bootstrap.kubernetes.io/token',
    {
      description: `machines of pool ${pool} that join`,
      'token-id': next,
      'token-secret': value,
      expiration: new Date(now + lifetimeMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      'usage-bootstrap-authentication': 'true',
      'auth-extra-groups': joinGroup(pool),
    },
    signal,
  );
  // Last: what machines fetch is good already.
  await cloud.putToken(pool, `${next}.${value}`, signal);
  return true;
}
