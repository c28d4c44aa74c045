import { z } from 'zod';
import type { Finding } from '../config/finding.ts';
import { inspectCertificate } from '../pki/inspect.ts';
import { nameOf, type Observation, type Observed, type Resource } from '../plan/resource.ts';
import type { CertificateStatus } from './status.ts';

type Seen = Observation<object, object>;
const designSchema = z.looseObject({ authority: z.looseObject({ name: z.string() }) });
const propsSchema = z.looseObject({ state: z.enum(['fresh', 'due', 'expired', 'unfit']) });
const outputsSchema = z.looseObject({ notAfter: z.number().optional() });
const authoritySchema = z.looseObject({ certificate: z.string().optional() });

/** Every certificate of the design, and the authorities', as they were seen. */
export const certificateStatuses = (resources: readonly Resource[], seen: Observed, now: number): readonly CertificateStatus[] =>
  resources.flatMap(({ address, type, props }) => {
    if (type === 'pki.authority') return authorityStatus(nameOf(address), seen.get(address), now);
    if (type !== 'pki.certificate' && type !== 'kube.certificate') return [];
    const { authority } = designSchema.parse(props);
    return [{ name: nameOf(address), authority: authority.name, ...stateOf(seen.get(address)) }];
  });

function stateOf(found: Seen | undefined): Pick<CertificateStatus, 'state' | 'notAfter'> {
  if (!found) return { state: 'missing', notAfter: undefined };
  if (found.state === 'unknown') return { state: 'unknown', notAfter: undefined };
  const props = propsSchema.safeParse(found.props);
  const outputs = outputsSchema.safeParse(found.outputs);
  return { state: props.data?.state ?? 'unknown', notAfter: outputs.data?.notAfter };
}

function authorityStatus(name: string, found: Seen | undefined, now: number): readonly CertificateStatus[] {
  const pem = found?.state === 'present' ? authoritySchema.safeParse(found.outputs).data?.certificate : undefined;
  if (pem === undefined) return [];
  try {
    const { state, notAfter } = inspectCertificate(pem, now);
    return [{ name: `authority ${name}`, authority: name, state, notAfter }];
  } catch {
    return [{ name: `authority ${name}`, authority: name, state: 'unknown', notAfter: undefined }];
  }
}

const said: Readonly<Record<'expired' | 'unfit' | 'missing', string>> = {
  expired: 'has expired',
  unfit: 'does not fit its key, or is none',
  missing: 'is not there',
};

/** Is every certificate fresh? Those that could not be seen are told with their machines. */
export function certificateFindings(certificates: readonly CertificateStatus[]): readonly Finding[] {
  const findings = certificates.flatMap(({ name, state }): readonly Finding[] => {
    if (state === 'fresh' || state === 'unknown') return [];
    const where = `certificate ${name}`;
    const check = `certificates.${state}`;
    const authority = name.startsWith('authority ');
    if (state === 'due') {
      const next = authority ? 'plan its rotation' : 'cluster up renews it';
      return [{ severity: 'warning', check, where, what: 'less than its share of life is left: it is due', next }];
    }
    const next = authority ? 'the authority must be rotated' : 'cluster up issues it again';
    return [{ severity: 'error', check, where, what: `the certificate ${said[state]}`, next }];
  });
  const fresh = certificates.filter(({ state }) => state === 'fresh').length;
  if (fresh > 0 && fresh === certificates.length)
    return [{ severity: 'ok', check: 'certificates.fresh', what: `all ${fresh} certificates are fresh` }];
  return findings;
}
