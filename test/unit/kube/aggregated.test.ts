import { expect, test } from 'vitest';
import { UnreachableError, UserError } from '../../../src/errors.ts';
import { aggregatedPath, answersEverywhere } from '../../../src/kube/aggregated.ts';
import type { KubeApi } from '../../../src/kube/client.ts';
import { KubeRefusal } from '../../../src/kube/http.ts';

test('what is asked of an APIService is in its name', () => {
  expect(aggregatedPath('APIService//v1beta1.metrics.k8s.io')).toBe('/apis/metrics.k8s.io/v1beta1');
  expect(aggregatedPath('Deployment/kube-system/metrics-server')).toBeUndefined();
});

const path = '/apis/metrics.k8s.io/v1beta1';
/** Of an API server that is well, and whose way to the extension server leads nowhere. */
const hangs = -1;
const refusal = (status: number) =>
  new KubeRefusal(path, status, { reason: '', message: 'service unavailable', details: { causes: [] } });
/** API servers by master, each with what it answers, one after the other; the last one from then on. `undefined`: it is not there. */
function masters(answers: Readonly<Record<string, readonly (number | undefined)[]>>) {
  let asked = 0;
  const server = (status: number): KubeApi =>
    ({
      raw: async (target: string) => {
        if (target === '/readyz' && status === hangs) return 'ok';
        expect(target).toBe(path);
        if (status === hangs) throw new UnreachableError({ what: 'no answer' });
        if (status !== 200) throw refusal(status);
        return '{}';
      },
    }) as unknown as KubeApi;
  return {
    asked: () => asked,
    async servers<T>(ask: (server: KubeApi) => Promise<T>): Promise<ReadonlyMap<string, T | undefined>> {
      const turn = asked++;
      return new Map(
        await Promise.all(
          Object.entries(answers).map(async ([master, all]) => {
            const status = all[Math.min(turn, all.length - 1)];
            return [master, status === undefined ? undefined : await ask(server(status))] as const;
          }),
        ),
      );
    },
  };
}
const waiting = (withinMs = 60_000) => ({
  paths: [path],
  withinMs,
  signal: new AbortController().signal,
  failure: async (why: string) => new UserError({ what: 'not available', why }),
});

test('waited for until every API server hands it on: the first one alone is not enough', async () => {
  const all = masters({ 'master-a': [503, 200, 200], 'master-b': [503, 503, 200] });
  await answersEverywhere(all, waiting());
  expect(all.asked()).toBe(3);
});
test('an API server that gives no answer says nothing of it', async () => {
  const all = masters({ 'master-a': [200], 'master-b': [undefined] });
  await answersEverywhere(all, waiting());
  expect(all.asked()).toBe(1);
});
test('none that answers is not enough, and what one of them refuses is told with its name', async () => {
  await expect(answersEverywhere(masters({ 'master-a': [undefined] }), waiting(0))).rejects.toMatchObject({
    problem: { why: 'no API server answers' },
  });
  await expect(answersEverywhere(masters({ 'master-a': [200], 'master-b': [503] }), waiting(0))).rejects.toMatchObject({
    problem: { why: expect.stringContaining('the API server of master-b') },
  });
});
test('one that is ready itself, and waits in vain for the extension server, is waited for and named', async () => {
  const all = masters({ 'master-a': [200], 'master-b': [hangs, 200] });
  await answersEverywhere(all, waiting());
  expect(all.asked()).toBe(2);
  await expect(answersEverywhere(masters({ 'master-a': [200], 'master-b': [hangs] }), waiting(0))).rejects.toMatchObject({
    problem: { why: expect.stringMatching(/master-b: no answer .* though it is ready itself/) },
  });
});
test('who may not ask is told at once', async () => {
  const all = masters({ 'master-a': [403] });
  await expect(answersEverywhere(all, waiting())).rejects.toBeInstanceOf(KubeRefusal);
  expect(all.asked()).toBe(1);
});
