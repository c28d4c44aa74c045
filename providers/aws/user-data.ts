import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Role } from '../../src/cluster/topology.ts';
import { quote } from '../../src/host/quote.ts';

export interface UserDataSpec {
  readonly cluster: string;
  readonly region: string;
  /** Of the cluster's store. */
  readonly bucket: string;
  readonly role: Role;
  /** AROA…: the ID of the machine's IAM role, which its place in the store begins with. */
  readonly roleId: string;
  /** `ssh-ed25519 AAAA…`: who may log in. */
  readonly authorizedKey: string;
  /** A machine of the design by its name; a pool's takes its instance ID, and what it should hold from `key` of the store. */
  readonly machine:
    | { readonly name: string }
    | { readonly pool: string; readonly bundle: { readonly key: string; readonly digest: string } };
  /** Instead of AWS's own: for tests. */
  readonly endpoints?: { readonly s3?: string | undefined; readonly metadata?: string | undefined };
}

/** EC2's limit, in bytes, before the encoding in base64. */
const maxBytes = 16_384;
const linkLocal = 'http://169.254.169.254';

/**
 * What an instance runs at its first boot (by cloud-init): enough to be reached, or, in a pool, to fetch the rest. Holds no secret: whoever
 * may describe instances can read it. Deterministic.
 */
export function renderUserData(spec: UserDataSpec): string {
  const { machine, endpoints = {} } = spec;
  const pool = 'pool' in machine ? machine : undefined;
  const env = {
    CLUSTER: spec.cluster,
    ROLE: spec.role,
    NAME: 'name' in machine ? machine.name : '',
    POOL: pool?.pool ?? '',
    ROLE_ID: spec.roleId,
    AUTHORIZED_KEY: spec.authorizedKey,
    POOL_KEY: pool?.bundle.key ?? '',
    POOL_DIGEST: pool?.bundle.digest ?? '',
    STORE_URL: endpoints.s3 === undefined ? bucketUrl(spec) : `${endpoints.s3}/${spec.bucket}`,
    STORE_REGION: spec.region,
    STORE_BUCKET: spec.bucket,
    // Empty: AWS's own. For the agent on the masters.
    CLOUD_ENDPOINT: endpoints.s3 ?? '',
    METADATA_URL: endpoints.metadata ?? linkLocal,
  };
  const values: Readonly<Record<string, string>> = {
    env: Object.entries(env)
      .map(([key, value]) => `${key}=${quote(value)}`)
      .join('\n'),
    store: template('host/aws'),
    boot: template('host/boot'),
    unit: template('units/slipway-boot.service'),
  };
  const text = template('host/user-data').replace(/\{\{(\w+)\}\}/g, (_, name: string) => (values[name] ?? '').trimEnd());
  const size = Buffer.byteLength(text);
  if (size > maxBytes) throw new Error(`user data of ${size} bytes: EC2 takes ${maxBytes}`);
  return text;
}

const bucketUrl = ({ bucket, region }: UserDataSpec): string =>
  `https://${bucket}.s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;

const texts = new Map<string, string>();
function template(path: string): string {
  let text = texts.get(path);
  if (text === undefined) {
    text = readFileSync(fileURLToPath(import.meta.resolve(`#templates/${path}`)), 'utf8');
    texts.set(path, text);
  }
  return text;
}
