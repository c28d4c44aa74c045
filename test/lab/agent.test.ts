import { randomBytes } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decideRequests } from '../../src/agent/join.ts';
import { type AgentKube, agentKube } from '../../src/agent/kube.ts';
import { whileLeading } from '../../src/agent/leader.ts';
import { refreshToken } from '../../src/agent/tokens.ts';
import { joinObjects } from '../../src/components/joining.ts';
import { identities } from '../../src/components/pki.ts';
import { type KubeApi, openKube } from '../../src/kube/client.ts';
import { type Http, openHttp } from '../../src/kube/http.ts';
import { kubeObjectSchema } from '../../src/kube/objects.ts';
import { issueClient } from '../../src/pki/admin.ts';
import { awsTopology } from '../support/aws/pool-machine.ts';
import { apiName, type LocalApi, missingApi, startLocalApi, untilAllowed } from '../support/local-api.ts';
import { MemoryCloud } from '../unit/agent/memory.ts';
import { aDocument, anInstance, aRequest, config, id } from '../unit/agent/requests.ts';

/** The agent with its own certificate and its own few rights, against an unmodified kube-apiserver. */
describe.skipIf(missingApi)(`the agent and a real API server${missingApi ? `: skipped, ${missingApi}` : ''}`, () => {
  let lab: LocalApi;
  let admin: KubeApi;
  let http: Http;
  let kube: AgentKube;
  const cloud = new MemoryCloud();
  const { signal } = new AbortController();
  beforeAll(async () => {
    lab = await startLocalApi(57, { 'enable-bootstrap-token-auth': 'true', 'authorization-mode': 'Node,RBAC' });
    const { server } = lab;
    admin = openKube({ server, tlsServerName: apiName, ...lab.credentials });
    for (const object of joinObjects(awsTopology())) await admin.apply(kubeObjectSchema.parse(object));
    await untilAllowed(lab, identities.agent, [], [{ verb: 'list', resource: 'nodes' }]);
    const own = await issueClient({ authority: lab.authority, cn: identities.agent, o: [], hours: 1, now: Date.now() });
    http = openHttp({ server, tlsServerName: apiName, caPem: lab.authority.certPem, ...own });
    kube = agentKube(http);
  });
  afterAll(() => {
    admin?.close();
    http?.close();
    lab?.close();
  });

  /** As templates/host/join does: with the token, and nothing else. */
  const withToken = (token: string, method: string, path: string, body?: object): Promise<number> =>
    new Promise((resolve, reject) => {
      const url = new URL(path, lab.server);
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const options = { method, headers, ca: lab.authority.certPem, servername: apiName, agent: false };
      const request = httpsRequest(url, options, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on('error', reject).end(body && JSON.stringify(body));
    });
  const requestsPath = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
  const csrOf = ({ object }: Awaited<ReturnType<typeof aRequest>>) => ({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name: object.metadata.name },
    spec: { request: object.spec.request, signerName: object.spec.signerName, usages: object.spec.usages },
  });
  let token = '';

  test('makes a token that lets a machine ask for certificates, and do nothing else', async () => {
    await refreshToken('workers', { kube, cloud, now: Date.now(), random: (n) => randomBytes(n), signal });
    token = cloud.tokens.get('workers') ?? '';
    expect(await withToken(token, 'POST', requestsPath, csrOf(await aRequest({ certificate: 'flanneld' })))).toBe(201);
    expect(await withToken(token, 'GET', requestsPath)).toBe(403);
    expect(await withToken(token, 'GET', '/api/v1/nodes')).toBe(403);
    expect(await withToken(token, 'GET', '/api/v1/namespaces/kube-system/secrets')).toBe(403);
    expect(await withToken(`${token.split('.')[0]}.0000000000000000`, 'POST', requestsPath, {})).toBe(401);
    expect(await refreshToken('workers', { kube, cloud, now: Date.now(), random: (n) => randomBytes(n), signal })).toBe(false);
  });

  test('approves what a machine of the pool asks for, and denies what it may not have', async () => {
    const good = await aRequest({ certificate: 'kubelet-server' });
    const bad = await aRequest({ certificate: 'kube-proxy', cn: 'slipway:agent' });
    for (const wanted of [good, bad]) expect(await withToken(token, 'POST', requestsPath, csrOf(wanted))).toBe(201);
    cloud.machines.set(id, anInstance({ launched: Date.now() - 60_000 }));
    const document = Buffer.from(JSON.stringify(aDocument())).toString('base64');
    cloud.proofs.set(
      id,
      JSON.stringify({ document, signature: 'x', keys: { 'kubelet-server': good.key, 'kube-proxy': bad.key } }),
    );
    await decideRequests({ config, kube, cloud, log: () => {}, now: Date.now, signal });
    const conditionOf = async (name: string): Promise<unknown> =>
      (await admin.get({ apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', name }))?.status;
    expect(await conditionOf(good.object.metadata.name)).toMatchObject({
      conditions: [{ type: 'Approved', reason: 'SlipwayAgent' }],
    });
    expect(await conditionOf(bad.object.metadata.name)).toMatchObject({
      conditions: [{ type: 'Denied', message: 'it asks for the subject slipway:agent of nobody' }],
    });
  });

  test('reads no Secret but its own tokens, and changes nothing that it need not', async () => {
    const refused = (path: string, call: Parameters<Http['text']>[1] = {}) =>
      http.text(path, call).then(
        () => 'allowed',
        (error: { status?: number }) => error.status,
      );
    expect(await refused('/api/v1/namespaces/kube-system/secrets')).toBe(403);
    expect(await refused('/api/v1/namespaces/kube-system/secrets/encryption')).toBe(403);
    expect(await refused('/api/v1/namespaces/default/secrets')).toBe(403);
    expect(await refused('/apis/rbac.authorization.k8s.io/v1/clusterroles')).toBe(403);
    expect(await refused(`${requestsPath}/x/status`, { method: 'PUT', body: {} })).toBe(403);
  });

  test('cordons a node and sees what its machine says of its end', async () => {
    const node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: id, annotations: { 'slipway.dev/termination-notice': 'soon' } },
    };
    await admin.apply(node);
    expect(await kube.nodes(signal)).toEqual([{ name: id, ready: false, cordoned: false, notice: 'soon' }]);
    await kube.cordon(id, 'test', signal);
    expect((await kube.nodes(signal))[0]?.cordoned).toBe(true);
    await kube.cordon('i-that-is-gone', 'test', signal);
  });

  test('evicts a pod by its UID, and asks for all of a node in one list', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'default' },
      spec: { nodeName: id, containers: [{ name: 'web', image: 'web' }] },
    };
    await admin.apply(pod);
    const [seen] = await kube.pods(id, signal);
    expect(seen).toMatchObject({ name: 'web', stays: false });
    if (!seen) throw new Error('no pod');
    expect(await kube.evict({ ...seen, uid: 'another' }, signal)).toBe(true);
    expect(await kube.pods(id, signal)).toHaveLength(1);
    expect(await kube.evict(seen, signal)).toBe(true);
    expect(await kube.evict({ ...seen, name: 'gone' }, signal)).toBe(true);
  });

  test('leads alone, and hands over when it ends', async () => {
    const led: string[] = [];
    const ends = [new AbortController(), new AbortController()];
    const candidate = (holder: string, end: AbortSignal) =>
      whileLeading(
        { kube, holder, log: () => {}, signal: end, now: Date.now, monotonic: () => performance.now() },
        async (leading) => {
          led.push(holder);
          await new Promise<void>((resolve) => leading.addEventListener('abort', () => resolve(), { once: true }));
        },
      );
    const running = ['a', 'b'].map((holder, index) => candidate(holder, ends[index]?.signal ?? signal));
    const until = async (count: number): Promise<void> => {
      for (const end = performance.now() + 15_000; led.length < count && performance.now() < end; )
        await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await until(1);
    const [first = ''] = led;
    ends[first === 'a' ? 0 : 1]?.abort();
    await until(2);
    expect(led.toSorted()).toEqual(['a', 'b']);
    for (const end of ends) end.abort();
    await Promise.all(running);
    expect((await kube.lease(signal))?.holder).toBe('');
  });
});
