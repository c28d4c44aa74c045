import { AllocateAddressCommand, CreateInternetGatewayCommand, CreateVolumeCommand, CreateVpcCommand } from '@aws-sdk/client-ec2';
import { type ContextEntry, type EvaluationResult, GetRoleCommand, paginateSimulatePrincipalPolicy } from '@aws-sdk/client-iam';
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import pLimit from 'p-limit';
import type { Finding } from '../../src/config/finding.ts';
import { messageOf } from '../../src/errors.ts';
import actions from './actions.json' with { type: 'json' };
import { tagged } from './ec2.ts';
import { codeOf } from './errors.ts';
import { operatorPolicy } from './policies/operator.ts';
import type { NamedStatement } from './policies/statement.ts';
import { tagsOf } from './tags.ts';
import { type Check, ok, type Verifying } from './verify-check.ts';
import { all } from './verify-world.ts';

const check = 'aws.permissions';

/** Whether IAM would allow everything that the code calls, statement by statement of docs/aws-policy.json; where IAM may not be asked, what EC2 says to a few dry runs. */
export const verifyPermissions: Check = async (of) => {
  const { Arn: caller = '' } = await of.sdk.sts.send(new GetCallerIdentityCommand(), { abortSignal: of.signal });
  if (caller.endsWith(':root'))
    return [
      {
        severity: 'warning',
        check,
        what: 'these are the credentials of the root user',
        why: 'nothing limits what a mistake with them can do',
        next: 'use a role with the policy of docs/aws.md',
      },
    ];
  const principal = await principalOf(caller, of);
  if (principal === undefined) return dryRuns(of, `${caller} is none that IAM simulates`);
  const statements = policyOf(of);
  const limit = pLimit(parallel);
  try {
    const findings = await Promise.all(statements.map((statement) => limit(() => simulate(statement, principal, of))));
    const refused = findings.flat();
    return refused.length > 0
      ? refused
      : [ok(check, `${principal} may do all that is needed (${actions.length} actions, simulated)`)];
  } catch (error) {
    of.signal.throwIfAborted();
    return dryRuns(of, `IAM does not simulate: ${messageOf(error)} (${codeOf(error)})`);
  }
};
/** IAM answers simulations slowly, and few at a time. */
const parallel = 6;

function policyOf({ owner, account, region, bucket, topology }: Verifying): readonly NamedStatement[] {
  const kmsKey = topology.cluster.provider.aws?.kmsKey;
  return operatorPolicy(actions, { cluster: owner.cluster, account, region, bucket, kmsKey }).Statement;
}

/** The user or role that IAM keeps policies for; sessions name their role without its path. */
async function principalOf(caller: string, { sdk, signal }: Verifying): Promise<string | undefined> {
  if (/^arn:[a-z-]+:iam::\d+:(user|role)\//.test(caller)) return caller;
  const [, partition, account, name] = /^arn:([a-z-]+):sts::(\d+):assumed-role\/([^/]+)\//.exec(caller) ?? [];
  if (name === undefined) return undefined;
  try {
    const { Role } = await sdk.iam.send(new GetRoleCommand({ RoleName: name }), { abortSignal: signal });
    if (Role?.Arn) return Role.Arn;
  } catch {
    signal.throwIfAborted();
  }
  return `arn:${partition}:iam::${account}:role/${name}`;
}

async function simulate(statement: NamedStatement, principal: string, of: Verifying): Promise<readonly Finding[]> {
  const { Action, Resource } = statement;
  const pages = paginateSimulatePrincipalPolicy(
    { client: of.sdk.iam, pageSize: 1000 },
    {
      PolicySourceArn: principal,
      ActionNames: [...Action],
      ResourceArns: [Resource].flat().map((pattern) => pattern.replaceAll(/(?<=.)\*/g, 'slipway-simulated')),
      ContextEntries: contextOf(statement, of.region),
    },
  );
  const results = await all(pages, of.signal, ({ EvaluationResults }) => EvaluationResults);
  return findingsOf(statement, results, principal);
}

/** The values that the statement's own conditions ask for: what the code really sends. */
export function contextOf({ Condition = {} }: NamedStatement, region: string): ContextEntry[] {
  const asked = Object.entries(Condition).flatMap(([operator, keys]) =>
    Object.entries(keys).map(([key, value]): ContextEntry => {
      const [first = ''] = [value].flat();
      const text = first.replaceAll('*', operator.includes('Like') && key === 'iam:PassedToService' ? '' : 'x');
      return {
        ContextKeyName: key,
        ContextKeyValues: [text],
        ContextKeyType: operator === 'Bool' ? 'boolean' : operator.startsWith('For') ? 'stringList' : 'string',
      };
    }),
  );
  return [
    ...asked,
    { ContextKeyName: 'aws:RequestedRegion', ContextKeyValues: [region], ContextKeyType: 'string' },
    { ContextKeyName: 'aws:SecureTransport', ContextKeyValues: ['true'], ContextKeyType: 'boolean' },
  ];
}

/**
 * A statement names resources of several kinds, of which an action takes some: it is refused when none of them is allowed. What hangs on
 * something that cannot be simulated (a source address, a second factor) is a warning.
 */
export function findingsOf(
  statement: NamedStatement,
  results: readonly EvaluationResult[],
  principal: string,
): readonly Finding[] {
  const refused = { error: [] as string[], warning: [] as string[] };
  const why = new Set<string>();
  for (const action of statement.Action) {
    const own = results.filter(({ EvalActionName }) => EvalActionName === action);
    const decisions = own.flatMap(({ EvalDecision, ResourceSpecificResults = [] }) => [
      EvalDecision,
      ...ResourceSpecificResults.map(({ EvalResourceDecision }) => EvalResourceDecision),
    ]);
    if (decisions.length === 0 || decisions.includes('allowed')) continue;
    const missing = own.flatMap(({ MissingContextValues = [] }) => MissingContextValues);
    refused[missing.length > 0 ? 'warning' : 'error'].push(action);
    if (missing.length > 0) why.add(`policies ask for ${[...new Set(missing)].join(', ')}, which cannot be simulated`);
    else if (own.some(({ OrganizationsDecisionDetail }) => OrganizationsDecisionDetail?.AllowedByOrganizations === false))
      why.add('a policy of the organization refuses it');
    else if (
      own.some(
        ({ PermissionsBoundaryDecisionDetail }) => PermissionsBoundaryDecisionDetail?.AllowedByPermissionsBoundary === false,
      )
    )
      why.add('the permissions boundary refuses it');
    else why.add(decisions.includes('explicitDeny') ? 'a policy refuses it' : 'no policy allows it');
  }
  return (['error', 'warning'] as const).flatMap((severity): Finding[] => {
    const Action = refused[severity];
    if (Action.length === 0) return [];
    return [
      {
        severity,
        check,
        where: principal,
        what: `${severity === 'error' ? 'may not' : 'perhaps may not'}: ${Action.join(', ')}`,
        why: [...why].join('; '),
        next: `add this statement to its policy (the whole one is docs/aws-policy.json): ${JSON.stringify({ ...statement, Action })}`,
      },
    ];
  });
}

/** EC2 checks the permission of a dry run before anything else, and makes nothing. */
async function dryRuns(of: Verifying, because: string): Promise<readonly Finding[]> {
  const { ec2 } = of.sdk;
  const zone = of.topology.zones[0];
  const DryRun = true;
  const tags = (type: 'elastic-ip' | 'internet-gateway' | 'volume' | 'vpc') => ({
    TagSpecifications: tagged(type, tagsOf(of.owner, `aws.${type}/main`)),
  });
  const abort = { abortSignal: of.signal };
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    'ec2:AllocateAddress': () => ec2.send(new AllocateAddressCommand({ Domain: 'vpc', DryRun, ...tags('elastic-ip') }), abort),
    'ec2:CreateInternetGateway': () => ec2.send(new CreateInternetGatewayCommand({ DryRun, ...tags('internet-gateway') }), abort),
    'ec2:CreateVolume': () =>
      ec2.send(
        new CreateVolumeCommand({
          AvailabilityZone: zone,
          Size: 1,
          VolumeType: 'gp3',
          Encrypted: true,
          DryRun,
          ...tags('volume'),
        }),
        abort,
      ),
    'ec2:CreateVpc': () =>
      ec2.send(new CreateVpcCommand({ CidrBlock: of.topology.cluster.network.machines, DryRun, ...tags('vpc') }), abort),
  };
  const refused = await Promise.all(
    Object.entries(calls).map(async ([action, call]) => {
      const code = await call().then(() => '', codeOf);
      of.signal.throwIfAborted();
      return code === 'UnauthorizedOperation' ? [action] : [];
    }),
  );
  const Action = refused.flat();
  if (Action.length === 0)
    return [
      ok(
        check,
        `EC2 would let these credentials make things (${Object.keys(calls).length} dry runs); the rest is seen only by doing it: ${because}`,
      ),
    ];
  const statements = policyOf(of).filter((statement) => statement.Action.some((action) => Action.includes(action)));
  return [
    {
      severity: 'error',
      check,
      what: `may not: ${Action.join(', ')}`,
      why: 'EC2 refuses a dry run of it',
      next: `add to the policy (the whole one is docs/aws-policy.json): ${JSON.stringify(statements)}`,
    },
  ];
}
