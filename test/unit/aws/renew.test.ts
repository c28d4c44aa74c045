import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requestLine } from '../../../src/components/joining.ts';
import { certificate } from '../../../src/components/pki.ts';
import { render } from '../../../src/components/template.ts';
import { FakeRoot } from '../../support/aws/fake-root.ts';
import { type JoinApi, startJoinApi } from '../../support/aws/join-api.ts';

const pki = '/etc/slipway/pki';
let api: JoinApi;
let root: FakeRoot;
beforeEach(async () => {
  api = await startJoinApi();
  api.kubelets = true;
  // Tomorrow never comes.
  root = new FakeRoot({ sleep: '[ "$1" != 86400 ] || kill $PPID\nexec /bin/sleep 0.05', chown: '' });
  root.write(`${pki}/kubernetes.ca.pem`, api.authority.certPem);
  root.write('/etc/slipway/certificates', root.moved(specs.map((spec) => `${requestLine(spec)}\n`).join('')));
});
afterEach(() => {
  api.close();
  root.close();
});

const specs = [
  certificate({ name: 'kube-proxy', authority: 'kubernetes', cn: 'system:kube-proxy', usages: ['client'] }),
  certificate({
    name: 'kubelet-server',
    authority: 'nodes',
    cn: 'system:node:${NODE_NAME}',
    o: ['system:nodes'],
    usages: ['server'],
    dns: ['${NODE_NAME}'],
    ip: ['${NODE_IP}'],
  }),
];
const at = (path: string): string => join(root.path, path);
function issued(name: string, days: number): string {
  const [key, cert] = [at(`${pki}/${name}-key.pem`), at(`${pki}/${name}.pem`)];
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-subj', `/CN=${name}`];
  execFileSync('openssl', [...made, '-keyout', key, '-out', cert, '-days', String(days)], { stdio: 'ignore' });
  return root.read(`${pki}/${name}.pem`);
}
function run() {
  const current = '/var/lib/kubelet/pki/kubelet-client-current.pem';
  root.write(current, root.read(`${pki}/kube-proxy.pem`) + root.read(`${pki}/kube-proxy-key.pem`));
  const script = render('config/renew.sh', {
    ca: `${pki}/kubernetes.ca.pem`,
    list: '/etc/slipway/certificates',
    seconds: 122 * 86_400,
    pause: 1,
  });
  return root.run(`API_SERVER=${api.url} NODE_NAME=i-0123456789abcdef0 NODE_IP=172.30.0.70\n${script}`);
}

test('a pool’s machine renews what has less than a third of its year left, for the same key, and leaves the rest', async () => {
  const [old, fresh] = [issued('kubelet-server', 30), issued('kube-proxy', 300)];
  const renewing = run();
  while (api.requests.size === 0) await sleep(20);
  const [name = ''] = api.requests.keys();
  expect(name).toMatch(/^slipway-i-0123456789abcdef0-kubelet-server-[0-9a-f]{10}$/);
  expect(api.requests.get(name)?.spec).toMatchObject({
    signerName: 'kubernetes.io/kubelet-serving',
    usages: ['digital signature', 'server auth'],
  });
  await api.approve(name);
  const { stdout } = await renewing;
  expect(stdout).toContain('kubelet-server is renewed');
  const certificate = new X509Certificate(root.read(`${pki}/kubelet-server.pem`));
  expect(certificate.subject).toBe('O=system:nodes\nCN=system:node:i-0123456789abcdef0');
  expect(certificate.subjectAltName).toBe('DNS:i-0123456789abcdef0, IP Address:172.30.0.70');
  expect(certificate.publicKey.equals(new X509Certificate(old).publicKey)).toBe(true);
  expect(root.read(`${pki}/kube-proxy.pem`)).toBe(fresh);
  expect(api.requests.size).toBe(1);
});

test('one that is refused stays as it is, and the others are renewed', async () => {
  const old = issued('kube-proxy', 30);
  issued('kubelet-server', 30);
  const renewing = run();
  while (api.requests.size === 0) await sleep(20);
  api.deny([...api.requests.keys()][0] ?? '', 'no');
  while (api.requests.size === 1) await sleep(20);
  await api.approve([...api.requests.keys()][1] ?? '');
  const { stdout } = await renewing;
  expect(stdout).toContain('kube-proxy is not renewed, and tried again tomorrow');
  expect(stdout).toContain('kubelet-server is renewed');
  expect(root.read(`${pki}/kube-proxy.pem`)).toBe(old);
});
