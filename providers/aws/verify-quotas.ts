import { GetAWSDefaultServiceQuotaCommand, GetServiceQuotaCommand } from '@aws-sdk/client-service-quotas';
import type { Finding } from '../../src/config/finding.ts';
import { isNotFound } from './errors.ts';
import { type Check, ok, unasked, type Verifying } from './verify-check.ts';
import { type Demand, demandsOf } from './verify-demand.ts';

const check = 'aws.quotas';

/** Quotas of the account that the design would break. Codes of Service Quotas stay as they are in all regions. */
export const verifyQuotas: Check = async (of, world) => {
  const demands = await Promise.all(
    demandsOf.map(async (ask): Promise<readonly Demand[] | Finding> => {
      try {
        return await ask(of, world);
      } catch (error) {
        of.signal.throwIfAborted();
        return unasked(check, 'what the account uses', error);
      }
    }),
  );
  const wanted = demands
    .flatMap((found) => ('check' in found ? [] : found))
    .filter(({ needed, most = 0 }) => needed > 0 || most > 0);
  const values = await Promise.all(wanted.map((demand) => quotaOf(demand, of)));
  const findings = wanted.flatMap((demand, i): readonly Finding[] => {
    const value = values[i];
    return typeof value === 'object' ? [] : findingOf(demand, value, of.region);
  });
  const unanswered = values.find((value) => typeof value === 'object');
  const all = [
    ...demands.flatMap((found) => ('check' in found ? [found] : [])),
    ...(unanswered ? [unanswered] : []),
    ...findings,
  ];
  return all.length > 0 ? all : [ok(check, `quotas leave room for the cluster (${wanted.length} looked at)`)];
};

/** What would not fit. A quota that is not known says nothing. */
export function findingOf(
  { service, code, name, unit, others, needed, most = needed }: Demand,
  value: number | undefined,
  region: string,
): readonly Finding[] {
  if (value === undefined || others + most <= value) return [];
  const enough = others + needed <= value;
  const wanted = Math.ceil(others + most);
  return [
    {
      severity: enough ? 'warning' : 'error',
      check,
      where: `${service} ${code}`,
      what: enough
        ? `the quota "${name}" is ${value} ${unit}: pools would stop growing at it, with all at their max they take ${most}`
        : `the quota "${name}" is ${value} ${unit}, and the cluster needs ${needed}`,
      why: `${round(others)} are used by others${most > needed ? `, autoscaled pools may take up to ${most}` : ''}`,
      next: `aws service-quotas request-service-quota-increase --region ${region} --service-code ${service} --quota-code ${code} --desired-value ${wanted}`,
    },
  ];
}
const round = (value: number): number => Math.round(value * 10) / 10;

async function quotaOf({ service, code, value }: Demand, { sdk, signal }: Verifying): Promise<number | undefined | Finding> {
  if (value !== undefined) return value;
  const input = { ServiceCode: service, QuotaCode: code };
  const abort = { abortSignal: signal };
  try {
    try {
      return (await sdk.quotas.send(new GetServiceQuotaCommand(input), abort)).Quota?.Value;
    } catch (error) {
      // One that nobody has raised may only be there as a default.
      if (!isMissing(error)) throw error;
      return (await sdk.quotas.send(new GetAWSDefaultServiceQuotaCommand(input), abort)).Quota?.Value;
    }
  } catch (error) {
    signal.throwIfAborted();
    return isMissing(error) ? undefined : unasked(check, 'the quotas of the account', error);
  }
}
const isMissing = (error: unknown): boolean =>
  isNotFound(error) || (error instanceof Error && error.name.startsWith('NoSuchResource'));
