import { describe, expect, test } from 'vitest';
import { decide, type Evidence } from '../../../src/agent/decide.ts';
import { parseCsr } from '../../../src/agent/request.ts';
import { aDocument, anInstance, aRequest, config, evidenceFor, now } from './requests.ts';

async function decided(wish: Parameters<typeof aRequest>[0], over: Partial<Evidence> = {}) {
  const { object, key } = await aRequest(wish);
  const csr = await parseCsr(object);
  if (!csr) throw new Error('not one of ours');
  return decide(csr, evidenceFor({ [csr.certificate]: key }, over), config);
}

describe('a request is approved', () => {
  test.each(['kubelet-client', 'kubelet-server', 'kube-proxy', 'flanneld'])(
    'for the %s of a new machine of the pool',
    async (certificate) => {
      expect(await decided({ certificate })).toEqual({ kind: 'approve' });
    },
  );
});

describe('a node that has joined', () => {
  const self = { username: 'system:node:i-0123456789abcdef0', groups: ['system:nodes', 'system:authenticated'] };
  const old = { instance: anInstance({ launched: now - 300 * 86_400_000 }), nameTaken: true, proof: undefined };
  test('renews what it has, by its kubelet’s certificate, however old it is', async () => {
    for (const certificate of ['kubelet-server', 'kube-proxy', 'flanneld'])
      expect(await decided({ ...self, certificate }, old)).toEqual({ kind: 'approve' });
  });
  test('gets nothing else, nothing for another name, and nothing when it is not of this cluster any more', async () => {
    expect(await decided({ ...self, certificate: 'kubelet-server', dns: ['master-a'] }, old)).toMatchObject({ kind: 'deny' });
    expect(await decided({ ...self, certificate: 'kube-proxy', o: ['system:masters'] }, old)).toMatchObject({ kind: 'deny' });
    expect(await decided({ ...self, certificate: 'admin', cn: 'admin' }, old)).toMatchObject({ kind: 'deny' });
    const gone = { ...old, instance: anInstance({ state: 'terminated' }) };
    expect(await decided({ ...self, certificate: 'kube-proxy' }, gone)).toMatchObject({ kind: 'deny' });
    const other = { ...old, instance: anInstance({ cluster: 'other' }) };
    expect(await decided({ ...self, certificate: 'kube-proxy' }, other)).toMatchObject({ kind: 'deny' });
  });
});

describe('a request is denied', () => {
  const refused = async (wish: Parameters<typeof aRequest>[0], why: RegExp, over: Partial<Evidence> = {}) => {
    expect(await decided(wish, over)).toEqual({ kind: 'deny', why: expect.stringMatching(why) });
  };
  test('for another node’s name, in the subject or among the names', async () => {
    await refused({ cn: 'system:node:master-a' }, /asks for the subject system:node:master-a/);
    await refused({ certificate: 'kubelet-server', dns: ['master-a'] }, /asks for the names/);
    await refused({ certificate: 'kubelet-server', ip: ['172.30.0.1'] }, /asks for the names/);
    await refused({ certificate: 'kubelet-server', dns: ['i-0123456789abcdef0', 'api.demo.internal'] }, /asks for the names/);
    await refused({ certificate: 'kubelet-server', email: 'root@example.com' }, /asks for the names/);
    await refused({ dns: ['kubernetes.default.svc'] }, /asks for the names/);
  });
  test('for a group that would make it more than a node', async () => {
    await refused({ o: ['system:masters'] }, /asks for the subject/);
    await refused({ o: ['system:nodes', 'system:masters'] }, /asks for the subject/);
    await refused({ certificate: 'kube-proxy', o: ['system:masters'] }, /asks for the subject/);
    await refused({ certificate: 'kube-proxy', cn: 'slipway:agent' }, /asks for the subject/);
  });
  test('for another signer or other usages than its certificate has', async () => {
    await refused({ signer: 'kubernetes.io/kube-apiserver-client' }, /asks kubernetes.io\/kube-apiserver-client, not/);
    await refused({ usages: ['digital signature', 'server auth'] }, /asks for the usages/);
    await refused({ usages: ['digital signature', 'client auth', 'cert sign'] }, /asks for the usages/);
  });
  test('for a certificate that the pool’s machines do not have', async () => {
    await refused({ certificate: 'admin', cn: 'admin' }, /need no certificate admin/);
  });
  test('with the token of another pool, of none, or of two', async () => {
    await refused({ groups: ['system:bootstrappers:slipway:other'] }, /of no pool of this cluster/);
    await refused({ groups: ['system:bootstrappers'] }, /of no pool of this cluster/);
    await refused({ groups: ['system:bootstrappers:slipway:workers', 'system:bootstrappers:slipway:x'] }, /of no pool/);
    await refused({}, /is of pool gpu, and its token of pool workers/, { instance: anInstance({ pool: 'gpu' }) });
  });
  test('when it is not signed by the key that it carries', async () => {
    await refused({ forged: true }, /not signed by its own key/);
  });
  test('from an instance of another cluster, of no pool, that is going, or that is not new', async () => {
    await refused({}, /not of this cluster/, { instance: anInstance({ cluster: 'other' }) });
    await refused({}, /not of this cluster/, { instance: anInstance({ cluster: undefined }) });
    await refused({}, /of pool none/, { instance: anInstance({ pool: undefined }) });
    await refused({}, /is shutting-down/, { instance: anInstance({ state: 'shutting-down' }) });
    await refused({}, /more than an hour ago/, { instance: anInstance({ launched: now - 61 * 60_000 }) });
  });
  test('when a living node has the name', async () => {
    await refused({}, /is there and Ready/, { nameTaken: true });
  });
  test('when the document is not AWS’s, or of another instance, account, region or address', async () => {
    const { key } = await aRequest();
    const keys = { 'kubelet-client': key };
    const proof = (over: Readonly<Record<string, string>>, genuine = true) => ({
      proof: { document: aDocument(over), genuine, keys },
    });
    await refused({}, /not signed by AWS/, proof({}, false));
    await refused({}, /is that of i-0000000000000000a/, proof({ instanceId: 'i-0000000000000000a' }));
    await refused({}, /account 999999999999/, proof({ accountId: '999999999999' }));
    await refused({}, /in us-east-1/, proof({ region: 'us-east-1' }));
    await refused({}, /says 10.0.0.1, and EC2/, proof({ privateIp: '10.0.0.1' }));
  });
});

describe('a request waits', () => {
  const late = { now: now + 6 * 60_000 };
  test('for EC2 to show the instance, and is denied when it never does', async () => {
    expect(await decided({}, { instance: undefined })).toMatchObject({ kind: 'wait' });
    expect(await decided({}, { instance: undefined, ...late })).toMatchObject({ kind: 'deny' });
  });
  test('for the proof, and for one that holds this very key', async () => {
    expect(await decided({}, { proof: undefined })).toMatchObject({ kind: 'wait' });
    const proof = { document: aDocument(), genuine: true, keys: { 'kubelet-client': 'f'.repeat(64) } };
    expect(await decided({}, { proof })).toMatchObject({ kind: 'wait', why: expect.stringMatching(/key is not the one/) });
    expect(await decided({}, { proof, ...late })).toMatchObject({ kind: 'deny' });
  });
});

describe('a request is somebody else’s', () => {
  test('with another name, another kind of user, or a decision already', async () => {
    const { object } = await aRequest();
    expect(await parseCsr({ ...object, metadata: { ...object.metadata, name: 'csr-abcde' } })).toBeUndefined();
    expect(
      await parseCsr((await aRequest({ username: 'system:node:i-0000000000000000a', groups: ['system:nodes'] })).object),
    ).toBeUndefined();
    expect(await parseCsr((await aRequest({ username: 'system:node:i-0123456789abcdef0', groups: [] })).object)).toBeUndefined();
    expect(await parseCsr((await aRequest({ decided: true })).object)).toBeUndefined();
  });
});
