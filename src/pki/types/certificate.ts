import { installCertificates, requestCertificates } from '../../host/certificates.ts';
import { readFacts } from '../../host/facts.ts';
import type { HostFacts, HostsClients } from '../../host/host.ts';
import { fields } from '../../plan/fields.ts';
import {
  type Address,
  addressOf,
  type Context,
  nameOf,
  type Observation,
  type Resolved,
  type ResourceType,
} from '../../plan/resource.ts';
import { type CertificateProps, ownProps } from '../design.ts';
import { type CertificateFacts, dueShare, inspectCertificate, rotatedDueShare } from '../inspect.ts';
import { authoritySecret } from '../names.ts';

export interface CertificateOutputs {
  /** Milliseconds since the epoch; undefined until it is observed. */
  readonly notAfter?: number;
}
type Seen = Observation<CertificateProps, CertificateOutputs>;

/**
 * A certificate whose key is made on the host and never leaves it (hard part 10). etcd, the API server, kubelet and client-go read
 * their certificates again from disk, so a renewal restarts nothing; another issuer is another trust, and that is a rotation.
 */
export const pkiCertificate: ResourceType<CertificateProps, CertificateOutputs, HostsClients> = {
  name: 'pki.certificate',
  shrink: 'never',
  // Requests of one host travel together; a narrow lane would take them apart.
  lane: 'pki.certificate',
  async observe(world) {
    const found = new Map<Address, Seen>();
    for (const [host, seen] of await world.read(readFacts)) {
      if (seen.state === 'unknown') found.set(addressOf('pki.certificate', `${host}.*`), seen);
      if (seen.state === 'present')
        for (const [address, observation] of ofHost(host, seen.facts, world.clients)) found.set(address, observation);
    }
    return found;
  },
  diff: fields<CertificateProps>({
    authority: 'ignore',
    issuer: 'restart',
    subject: 'none',
    sans: 'none',
    usages: 'none',
    // A new lifetime begins with the next renewal, which state says is due.
    lifetimeDays: 'ignore',
    files: 'ignore',
    owner: 'ignore',
    state: 'none',
  }),
  create: (desired, ctx) => issueOnHost(desired, ctx),
  update: (desired, _outputs, ctx) => issueOnHost(desired, ctx),
};

/** The certificates of the design that this host has. */
function* ofHost(host: string, facts: HostFacts, { machines, now }: HostsClients): Generator<readonly [Address, Seen]> {
  const machine = machines.get(host);
  for (const spec of machine?.bundle.certificates ?? []) {
    const found = facts.certificates.get(spec.name);
    if (!machine || !found) continue;
    const own = ownProps(spec, machine.identity);
    const rotates = 'combined' in spec.files;
    const seen = inspected(found.pem, now(), rotates ? rotatedDueShare : dueShare);
    yield [
      addressOf('pki.certificate', `${host}.${spec.name}`),
      {
        state: 'present',
        props: {
          ...own,
          authority: { name: spec.authority, certificate: '' },
          issuer: seen?.issuerKeyId ?? '',
          subject: seen?.subject ?? { cn: '', o: [] },
          sans: seen ? sansOf(seen, own.sans, rotates) : { dns: [], ip: [] },
          usages: seen?.usages ?? [],
          state: seen && found.keyFits ? seen.state : 'unfit',
        },
        outputs: seen ? { notAfter: seen.notAfter } : {},
      },
    ];
  }
}

/** What cannot be read as a certificate fits nothing: it is made anew. */
function inspected(pem: string, now: number, share: number): CertificateFacts | undefined {
  try {
    return inspectCertificate(pem, now, share);
  } catch {
    return undefined;
  }
}

/** kubelet's own successor may name more than ours did: whatever else its node is known by. */
function sansOf(seen: CertificateFacts, designed: CertificateFacts['sans'], rotates: boolean): CertificateFacts['sans'] {
  const covers =
    designed.dns.every((name) => seen.sans.dns.includes(name)) && designed.ip.every((ip) => seen.sans.ip.includes(ip));
  return rotates && covers ? designed : seen.sans;
}

async function issueOnHost(desired: Resolved<CertificateProps>, ctx: Context<HostsClients>): Promise<CertificateOutputs> {
  const { address, clients, secrets, signal } = ctx;
  const full = nameOf(address);
  const dot = full.indexOf('.');
  const files = { name: full.slice(dot + 1), files: desired.files, owner: desired.owner };
  const host = await clients.hosts.get(full.slice(0, dot), { signal });
  const [{ signRequest }, requests, key] = await Promise.all([
    import('../issue.ts'),
    requestCertificates(host, [files]),
    secrets.reveal({ secret: authoritySecret(desired.authority.name) }),
  ]);
  signal.throwIfAborted();
  const authority = { certPem: desired.authority.certificate, keyPem: new TextDecoder().decode(key) };
  const certPem = await signRequest({ csrPem: requests.get(files.name) ?? '', authority, spec: desired, now: clients.now() });
  signal.throwIfAborted();
  await installCertificates(host, [{ spec: files, certPem }]);
  return { notAfter: inspectCertificate(certPem, clients.now()).notAfter };
}
