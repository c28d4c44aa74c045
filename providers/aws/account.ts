import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import { exitCodes, messageOf, UnreachableError, UserError } from '../../src/errors.ts';
import type { AccountMemory } from './account-memory.ts';
import type { AwsSdk } from './clients.ts';
import { codeOf } from './errors.ts';

/**
 * Whose credentials these are. AWS says so (`proven`). For a look that is not asked where the credentials name their account (SSO, roles that the SDK
 * assumes, profiles and environments that say it), or where AWS has said it of this access key before: a key never moves to another account. What
 * credentials name is a claim (AWS_ACCOUNT_ID may say anything), so who opens the store by it asks AWS whenever that fails, and nothing is
 * changed before AWS was asked.
 */
interface Account {
  /** Without a call, where that can be. */
  told(signal: AbortSignal): Promise<string>;
  /** AWS's own word. Throws where there are no valid credentials, where they claim another account, and where this cluster may not be made. */
  proven(signal: AbortSignal): Promise<string>;
}

interface AccountOptions {
  /** In which the cluster may be made; none: in any. */
  readonly allowed: readonly string[];
  readonly memory: AccountMemory | undefined;
}

export function accountOf({ sts }: Pick<AwsSdk, 'sts'>, { allowed, memory }: AccountOptions): Account {
  let claimed: Promise<string | undefined> | undefined;
  let asked: Promise<string> | undefined;
  const remembered = async (): Promise<string | undefined> => {
    const { accessKeyId, accountId } = await sts.config.credentials().catch(() => ({ accessKeyId: '', accountId: undefined }));
    if (accountId !== undefined && isAccount(accountId)) return accountId;
    return accessKeyId === '' ? undefined : memory?.account(accessKeyId);
  };
  const ask = async (signal: AbortSignal): Promise<string> => {
    const account = await askWhose(sts, signal);
    const { accessKeyId, accountId } = await sts.config.credentials();
    if (accountId !== undefined && accountId !== account) throw claimsAnother(account, accountId);
    await memory?.learn(accessKeyId, account);
    if (allowed.length > 0 && !allowed.includes(account)) throw notAllowed(account, allowed);
    return account;
  };
  const proven = (signal: AbortSignal): Promise<string> => {
    asked ??= ask(signal);
    return asked;
  };
  return {
    proven,
    async told(signal) {
      if (asked) return asked;
      claimed ??= remembered();
      const account = await claimed;
      // One that is not allowed is not believed either: AWS says which it is.
      return account === undefined || (allowed.length > 0 && !allowed.includes(account)) ? proven(signal) : account;
    },
  };
}

const isAccount = (text: string): boolean => /^\d{12}$/.test(text);

const refused =
  /CredentialsProviderError|ExpiredToken|InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClient|AccessDenied|AuthFailure/;
async function askWhose(sts: AwsSdk['sts'], signal: AbortSignal): Promise<string> {
  try {
    const { Account = '' } = await sts.send(new GetCallerIdentityCommand(), { abortSignal: signal });
    return Account;
  } catch (error) {
    signal.throwIfAborted();
    const code = codeOf(error);
    if (refused.test(code))
      throw new UserError(
        {
          what: 'no valid AWS credentials',
          where: 'provider.aws',
          why: `${code}: ${messageOf(error)}`,
          next: 'log in (aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
        },
        exitCodes.credentials,
      );
    throw new UnreachableError(
      { what: 'AWS cannot be reached', why: messageOf(error), next: 'check the network and the region' },
      { cause: error },
    );
  }
}

const claimsAnother = (account: string, claim: string): UserError =>
  new UserError(
    {
      what: `these credentials are of account ${account}, and say that they are of ${claim}`,
      where: 'AWS_ACCOUNT_ID, or aws_account_id of the profile',
      next: 'correct or remove what says so; or use credentials of the account that is meant',
    },
    exitCodes.credentials,
  );

const notAllowed = (account: string, allowed: readonly string[]): UserError =>
  new UserError(
    {
      what: `these credentials are of account ${account}, in which this cluster may not be made`,
      where: 'provider.aws.accountIds',
      why: `allowed: ${allowed.join(', ')}`,
      next: 'use credentials of an allowed account, or add this one to accountIds',
    },
    exitCodes.credentials,
  );
