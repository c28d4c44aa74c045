import { type Answer, refuse } from './answers.ts';
import { type Behaviour, textOf } from './exchange.ts';
import type { Quotas } from './quotas.ts';
import { escapeXml } from './xml.ts';

/** What IAM says of whoever calls: moto simulates no policies. */
export interface Permissions {
  /** As GetCallerIdentity says it; undefined: moto's own, which is no user or role. */
  readonly caller?: string;
  /** Actions that a simulation finds refused. */
  readonly denied?: readonly string[];
}

/** AWS's own defaults of the quotas that this project looks at. Source: Service Quotas. */
const defaults: Readonly<Record<string, number>> = {
  'L-F678F1CE': 5,
  'L-0263D0A3': 5,
  'L-FE5A380F': 5,
  'L-69A177A2': 50,
  'L-7A658B76': 50,
};
/** What accounts have after their first weeks. */
const vcpus = 256;

const list = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

/** Simulations of policies, dry runs and quotas of the account, as moto has none of them. */
export function accountFacts(permissions: () => Permissions, limits: () => Quotas): Behaviour {
  const xml = { 'content-type': 'text/xml' };
  const quotaOf = (code: string): number | undefined => {
    const { vpcs, addresses, natGatewaysPerZone, vcpus: cpus } = limits();
    const set: Readonly<Record<string, number | undefined>> = {
      'L-F678F1CE': vpcs,
      'L-0263D0A3': addresses,
      'L-FE5A380F': natGatewaysPerZone,
      'L-1216C47A': cpus ?? vcpus,
      'L-34B43A08': vcpus,
    };
    return set[code] ?? defaults[code];
  };
  return {
    before({ call }): Answer | ReturnType<typeof refuse> | undefined {
      // moto carries most dry runs out.
      if (call.service === 'ec2' && call.params.DryRun === true)
        return refuse('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412);
      const { caller, denied = [] } = permissions();
      if (call.service === 'sts' && call.action === 'GetCallerIdentity' && caller !== undefined)
        return {
          status: 200,
          headers: xml,
          body: Buffer.from(
            `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>${escapeXml(caller)}</Arn><UserId>AIDATEST</UserId><Account>${call.account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`,
          ),
        };
      if (call.service === 'iam' && call.action === 'SimulatePrincipalPolicy') {
        const members = list(call.params.ActionNames).map(
          (action) =>
            `<member><EvalActionName>${action}</EvalActionName><EvalResourceName>*</EvalResourceName><EvalDecision>${denied.includes(action) ? 'implicitDeny' : 'allowed'}</EvalDecision></member>`,
        );
        return {
          status: 200,
          headers: xml,
          body: Buffer.from(
            `<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>${members.join('')}</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>`,
          ),
        };
      }
      if (call.service === 'servicequotas' && /^Get(AWSDefault)?ServiceQuota$/.test(call.action)) {
        const code = textOf(call.params, 'QuotaCode') ?? '';
        const value = quotaOf(code);
        if (value === undefined)
          return refuse('NoSuchResourceException', 'The request failed because the specified resource does not exist.');
        return {
          status: 200,
          headers: { 'content-type': 'application/x-amz-json-1.1' },
          body: Buffer.from(JSON.stringify({ Quota: { QuotaCode: code, Value: value } })),
        };
      }
      return undefined;
    },
  };
}
