import { exitCodes, messageOf, UnreachableError, UserError } from '../../src/errors.ts';
import type { ResourceType } from '../../src/plan/resource.ts';
import type { AwsClients } from './clients.ts';
import { codeOf, isRefusal, isThrottle, statusOf } from './errors.ts';
import { quotaOf, requestFor } from './quotas.ts';

/** A type whose AWS errors say what happened, to what, why in AWS's own words, and what to do. */
export function explained<P extends object, O extends object>(
  type: ResourceType<P, O, AwsClients>,
): ResourceType<P, O, AwsClients> {
  const { create, update, delete: remove, verify } = type;
  return {
    ...type,
    observe: (world) => explaining(type.name, world.signal, () => type.observe(world)),
    ...(create && { create: (props, ctx) => explaining(ctx.address, ctx.signal, () => create.call(type, props, ctx)) }),
    ...(update && {
      update: (props, outputs, ctx) => explaining(ctx.address, ctx.signal, () => update.call(type, props, outputs, ctx)),
    }),
    ...(remove && { delete: (outputs, ctx) => explaining(ctx.address, ctx.signal, () => remove.call(type, outputs, ctx)) }),
    ...(verify && { verify: (props, ctx) => explaining(ctx.address, ctx.signal, () => verify.call(type, props, ctx)) }),
  };
}

/** One call outside of a type. */
export async function explaining<T>(where: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    // Cut short by us: the runner says why.
    if (signal.aborted) throw error;
    throw explain(error, where);
  }
}

const again = 'run the same command again';
const known: readonly { readonly code: RegExp; readonly what: string; readonly next: string }[] = [
  {
    code: /LimitExceeded$|Quota|^TooMany/,
    what: 'a quota of the account is used up',
    next: `ask AWS for a higher quota (Service Quotas), or remove what nobody needs; then ${again}: it goes on from there`,
  },
  {
    code: /^IdempotentParameterMismatch$/,
    what: 'an earlier run asked for this, otherwise',
    next: `${again}: what that run made is found by its tags, and what it did not make is asked for anew`,
  },
  {
    code: /^RequestTimeTooSkewed/,
    what: 'the clock of this computer is wrong',
    next: `set it (timedatectl set-ntp true), then ${again}`,
  },
  {
    code: /^Insufficient\w*Capacity|^Unsupported$|^InsufficientHostCapacity/,
    what: 'AWS has no such machine to give in this zone now',
    next: `${again} later, or choose another machine type in cluster.yaml`,
  },
  {
    code: /^(InvalidAMIID|InvalidKeyPair|InvalidSubnetID|InvalidGroup|InvalidVpcID|InvalidNetworkInterfaceID|InvalidVolume)\.NotFound$/,
    what: 'something that it stands on is gone',
    next: `${again}: what is gone is found, and made anew`,
  },
  {
    code: /^(DependencyViolation|ResourceInUse|DeleteConflict|VolumeInUse)/,
    what: 'something else still uses it',
    next: `remove what uses it, if nobody needs it; then ${again}`,
  },
];
/** What the services call it: EC2 an expired request, S3 a wrong key or token. */
const credentials =
  /CredentialsProvider|TokenProvider|ExpiredToken|RequestExpired|InvalidClientTokenId|InvalidAccessKeyId|^InvalidToken|SignatureDoesNotMatch|UnrecognizedClient|^AuthFailure/;
const denied = /^(UnauthorizedOperation|AccessDenied|Forbidden)/;

/** Anything that is not of AWS stays as it is. */
export function explain(error: unknown, where: string): unknown {
  if (error instanceof UserError || !(error instanceof Error)) return error;
  const code = codeOf(error);
  const why = `${messageOf(error)} (${code})`;
  const options = { cause: error };
  if (credentials.test(code))
    return new UserError(
      { what: 'AWS does not accept the credentials', where, why, next: `log in again (aws sso login), then ${again}` },
      exitCodes.credentials,
      options,
    );
  if (isThrottle(error))
    return new UnreachableError({ what: 'AWS lets too few requests through', where, why, next: `${again} later` }, options);
  if (denied.test(code)) {
    const action = /perform:? ([a-z0-9-]+:\w+)/.exec(messageOf(error))?.[1] ?? 'what this step calls';
    return new UserError(
      { what: 'AWS does not allow it', where, why, next: `allow ${action} (the whole policy is in docs/aws.md), then ${again}` },
      exitCodes.credentials,
      options,
    );
  }
  const quota = isRefusal(error) ? quotaOf(code, where) : undefined;
  if (quota)
    return new UserError(
      {
        what: `a quota of the account is used up: ${quota.name}`,
        where,
        why,
        next: `${requestFor(quota)} (cluster preflight says how much is needed), or remove what nobody needs; then ${again}: it goes on from there`,
      },
      undefined,
      options,
    );
  if (isRefusal(error)) {
    const found = known.find((one) => one.code.test(code));
    return new UserError(
      { what: found?.what ?? 'AWS refused it', where, why, ...(found && { next: found.next }) },
      undefined,
      options,
    );
  }
  const status = statusOf(error);
  const cut =
    (status !== undefined && status >= 500) ||
    /^(ECONN|ENOTFOUND|EAI_|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)/.test('code' in error ? String(error.code) : '') ||
    /^(TimeoutError|NetworkingError|RequestTimeout)/.test(error.name);
  if (cut)
    return new UnreachableError({ what: 'AWS gives no answer', where, why, next: `check the network, then ${again}` }, options);
  return error;
}
