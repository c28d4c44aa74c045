import type { MachineSpec } from '../cluster/topology.ts';
import type { Bundle, CertificateSpec } from '../components/bundle.ts';
import { type Address, addressOf, type Ref, type Resource, ref } from '../plan/resource.ts';
import { type CertificateState, canonicalAddress } from './inspect.ts';

export interface CertificateProps {
  /** Who signs: its name, and its certificate for the signing. The issuer's key ID is what is compared. */
  readonly authority: { readonly name: string; readonly certificate: Ref<string> };
  readonly issuer: Ref<string>;
  readonly subject: { readonly cn: string; readonly o: readonly string[] };
  readonly sans: CertificateSpec['sans'];
  readonly usages: CertificateSpec['usages'];
  readonly lifetimeDays: number;
  readonly files: CertificateSpec['files'];
  readonly owner: string;
  /** `unfit`: the certificate is not for the key beside it. */
  readonly state: CertificateState | 'unfit';
}

/**
 * `pki.certificate/HOST.NAME`, one for each of the bundle's certificates, with the host's own names in it. They come after the bundle:
 * its manifest is what makes a host tell of them.
 */
export function certificateResources(
  machine: Pick<MachineSpec, 'name'>,
  bundle: Bundle,
  identity: Readonly<Record<string, string>>,
  after: readonly Address[] = [addressOf('host.bundle', machine.name)],
): readonly Resource<CertificateProps>[] {
  return bundle.certificates.map((spec) => {
    const authority = addressOf('pki.authority', spec.authority);
    return {
      address: addressOf('pki.certificate', `${machine.name}.${spec.name}`),
      type: 'pki.certificate',
      props: {
        authority: { name: spec.authority, certificate: ref<string>(authority, 'certificate') },
        issuer: ref<string>(authority, 'keyId'),
        ...ownProps(spec, identity),
        state: 'fresh',
      },
      after,
    };
  });
}

/** What a certificate of this host says, in the order in which it is compared. */
export function ownProps(spec: CertificateSpec, identity: Readonly<Record<string, string>>) {
  const own = (text: string): string => substitute(text, identity, spec.name);
  return {
    subject: { cn: own(spec.subject.cn), o: (spec.subject.o ?? []).map(own).sort() },
    sans: { dns: spec.sans.dns.map(own).sort(), ip: spec.sans.ip.map((ip) => canonicalAddress(own(ip))).sort() },
    usages: spec.usages.toSorted(),
    lifetimeDays: spec.lifetimeDays,
    files: spec.files,
    owner: spec.owner ?? 'root',
  };
}

function substitute(text: string, identity: Readonly<Record<string, string>>, name: string): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (variable, key: string) => {
    const value = identity[key];
    if (value === undefined || value === '') throw new Error(`certificate ${name}: no value for ${variable}`);
    return value;
  });
}
