import type { Bundle, BundleFile } from '../components/bundle.ts';
import { sha256 } from '../plan/canonical.ts';
import { type Address, addressOf, type Ref, type Resource, ref, type SecretRef } from '../plan/resource.ts';
import { filesOf } from './manifest.ts';

/** A file as plans know it: by its digest, never by its content. */
export type FileProps =
  | { readonly mode: string; readonly digest: string }
  /** Certificates of authorities, one after the other. */
  | { readonly mode: string; readonly pem: readonly Ref<string>[] }
  /** A keyed digest (src/host/digest.ts): it tells nothing of the secret. */
  | ({ readonly mode: string; readonly digest: Ref<string> } & SecretRef);

export interface BundleProps {
  readonly bundle: string;
  /** host.env. What only the cloud can tell (the provider ID) is a Ref to the machine's output. */
  readonly identity: Readonly<Record<string, string | Ref<string>>>;
  readonly files: Readonly<Record<string, FileProps>>;
  /** Digest of the unit file, by unit. */
  readonly units: Readonly<Record<string, string>>;
  /** Paths below /opt/slipway. */
  readonly assets: readonly string[];
  /** Observed only: by path and unit, the active units that a change of it restarts. */
  readonly restarts?: Readonly<Record<string, readonly string[]>>;
  /** Observed only: active units that `up` must not restart. */
  readonly serving?: readonly string[];
  /** Observed only: a turn of an upgrade was begun here and not brought to its end: its kubelet runs what another state of the upgrade brings. */
  readonly turned?: boolean;
}

export interface UnitProps {
  readonly active: boolean;
  /** False: it runs older content than lies on the disk. */
  readonly current: boolean;
  /** Observed only, as UnitFacts say. */
  readonly serving?: boolean;
  readonly waitsFor?: string;
}
export interface UnitsProps {
  readonly units: Readonly<Record<string, UnitProps>>;
}

const shared = new WeakMap<Bundle, { readonly bundle: Omit<BundleProps, 'identity'>; readonly units: UnitsProps }>();
/** Built once a bundle: a pool of 5,000 hosts shares these objects. */
export function propsOf(bundle: Bundle) {
  let props = shared.get(bundle);
  if (!props) {
    props = {
      bundle: {
        bundle: bundle.name,
        files: Object.fromEntries(filesOf(bundle).map((file) => [file.path, fileProps(file)])),
        units: Object.fromEntries(bundle.units.map((unit) => [unit.name, sha256(unit.text)])),
        assets: bundle.assets.map((asset) => asset.path),
      },
      units: { units: Object.fromEntries(bundle.units.map((unit) => [unit.name, { active: true, current: true }])) },
    };
    shared.set(bundle, props);
  }
  return props;
}

function fileProps({ mode, content }: BundleFile): FileProps {
  if ('text' in content) return { mode, digest: sha256(content.text) };
  if ('authorities' in content) {
    return { mode, pem: content.authorities.map((name) => ref<string>(addressOf('pki.authority', name), 'certificate')) };
  }
  return { mode, secret: content.secret, digest: ref<string>(secretAddress(content.secret), 'digest') };
}

/** An authority's key is a secret too, under `authority.<name>`. */
const secretAddress = (name: string): Address =>
  name.startsWith('authority.') ? addressOf('pki.authority', name.slice('authority.'.length)) : addressOf('secret', name);

/** The resources of one host's own content: `host.bundle/HOST`, and `host.units/HOST`, which stands on it and on the certificates. */
export function hostResources(
  machine: { readonly name: string },
  bundle: Bundle,
  identity: BundleProps['identity'],
  /** Its machine, and what else must be there before anything is sent to it. */
  standsOn: readonly Address[],
  /** What else must be there before its units start: a master's API server needs etcd. */
  unitsAfter: readonly Address[] = [],
  /** What its units wait for only if it changes: members that join while API servers would already ask them. */
  unitsBehind: readonly Address[] = [],
  /** What comes before its files only if it changes: a new machine's packages. */
  behind: readonly Address[] = [],
): readonly [Resource<BundleProps>, Resource<UnitsProps>] {
  const { name } = machine;
  const props = propsOf(bundle);
  const own = addressOf('host.bundle', name);
  const certificates = bundle.certificates.map((spec) => addressOf('pki.certificate', `${name}.${spec.name}`));
  return [
    {
      address: own,
      type: 'host.bundle',
      props: { ...props.bundle, identity },
      after: standsOn,
      ...(behind.length > 0 && { behind }),
    },
    {
      address: addressOf('host.units', name),
      type: 'host.units',
      props: props.units,
      after: [own, ...certificates, ...unitsAfter],
      ...(unitsBehind.length > 0 && { behind: unitsBehind }),
    },
  ];
}
