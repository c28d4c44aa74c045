import { webcrypto } from 'node:crypto';
import type { Instance } from '../../../src/agent/cloud.ts';
import type { AgentConfig } from '../../../src/agent/config.ts';
import type { Evidence } from '../../../src/agent/decide.ts';
import { designBundles } from '../../../src/components/bundles.ts';
import { joinRequest } from '../../../src/components/joining.ts';
import { x509 } from '../../../src/pki/x509.ts';
import { awsTopology } from '../../support/aws/pool-machine.ts';
import { publicKeyDigest } from './digest.ts';

export const now = Date.parse('2026-11-21T07:00:00Z');
export const id = 'i-0123456789abcdef0';
export const address = '172.30.0.70';
const p256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;

/** As the masters' bundle has it. */
const topology = awsTopology();
export const config: AgentConfig = {
  cluster: 'demo',
  region: 'eu-central-1',
  pools: {
    workers: {
      drainSeconds: 300,
      requests: (designBundles(topology).get('pool-workers')?.certificates ?? []).map((spec) => {
        const { name, signer, subject, sans, usages } = joinRequest(spec);
        return {
          name,
          signer,
          subject: { cn: subject.cn, o: [...subject.o] },
          sans: { dns: [...sans.dns], ip: [...sans.ip] },
          usages: [...usages],
        };
      }),
    },
  },
};

interface Wish {
  readonly certificate?: string;
  readonly cn?: string;
  readonly o?: readonly string[];
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly email?: string;
  readonly signer?: string;
  readonly usages?: readonly string[];
  readonly groups?: readonly string[];
  readonly username?: string;
  readonly instance?: string;
  /** Signed by another key than the one that it carries. */
  readonly forged?: boolean;
  readonly decided?: boolean;
}

/** A real request, as the API gives it. Without wishes it is what the instance's kubelet needs. */
export async function aRequest(wish: Wish = {}) {
  const { certificate = 'kubelet-client', instance = id } = wish;
  const expected = config.pools.workers?.requests.find(({ name }) => name === certificate);
  const own = (text: string): string => text.replace('${NODE_NAME}', id).replace('${NODE_IP}', address);
  const keys = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
  const others = await webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
  const dns = wish.dns ?? expected?.sans.dns.map(own) ?? [];
  const ip = wish.ip ?? expected?.sans.ip.map(own) ?? [];
  const names: x509.JsonGeneralNames = [
    ...dns.map((value) => ({ type: 'dns' as const, value })),
    ...ip.map((value) => ({ type: 'ip' as const, value })),
    ...(wish.email === undefined ? [] : [{ type: 'email' as const, value: wish.email }]),
  ];
  const o = wish.o ?? expected?.subject.o ?? [];
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [...o.map((value) => ({ O: [value] })), { CN: [wish.cn ?? own(expected?.subject.cn ?? '')] }],
    keys: wish.forged ? { publicKey: keys.publicKey, privateKey: others.privateKey } : keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : [],
  });
  const key = publicKeyDigest(Buffer.from(csr.publicKey.rawData));
  return {
    key,
    object: {
      metadata: {
        name: `slipway-${instance}-${certificate}-${key.slice(0, 10)}`,
        creationTimestamp: new Date(now).toISOString(),
      },
      spec: {
        request: Buffer.from(csr.toString('pem')).toString('base64'),
        signerName: wish.signer ?? expected?.signer ?? '',
        username: wish.username ?? 'system:bootstrap:abcdea',
        groups: wish.groups ?? ['system:bootstrappers', 'system:bootstrappers:slipway:workers', 'system:authenticated'],
        usages: wish.usages ?? expected?.usages ?? [],
      },
      status: wish.decided ? { conditions: [{ type: 'Approved', status: 'True' }] } : {},
    },
  };
}

export const anInstance = (over: Partial<Instance> = {}): Instance => ({
  id,
  account: '123456789012',
  state: 'running',
  address,
  zone: 'eu-central-1a',
  launched: now - 120_000,
  cluster: 'demo',
  pool: 'workers',
  ...over,
});
export const aDocument = (over: Readonly<Record<string, string>> = {}) => ({
  instanceId: id,
  accountId: '123456789012',
  region: 'eu-central-1',
  privateIp: address,
  ...over,
});
export const evidenceFor = (keys: Readonly<Record<string, string>>, over: Partial<Evidence> = {}): Evidence => ({
  instance: anInstance(),
  proof: { document: aDocument(), genuine: true, keys },
  nameTaken: false,
  now,
  ...over,
});
