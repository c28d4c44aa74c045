/**
 * The infrastructure of an example on AWS, on the emulator behind the proxy of the tests: `plan FILE` or `up FILE PER-SECOND`; prints one JSON
 * object, and the calls by action to stderr. A call is a request that arrives at the proxy, of whatever service (STS and S3 count too), and each
 * repetition after a refusal counts again.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Call } from '../test/support/aws/exchange.ts';
import { infrastructure } from '../test/support/aws/infrastructure.ts';
import { startMoto } from '../test/support/aws/moto.ts';
import { type AwsPlace, awsPlace } from '../test/support/aws/place.ts';
import { clusterOf } from './aws-cluster.ts';

const [, , command, file = '', rate = '20'] = process.argv;
const moto = await startMoto();
try {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'slipway-bench-'));
  const place = await awsPlace(moto, clusterOf(file), undefined, { stateDirectory });
  const results = command === 'plan' ? await planned(place, stateDirectory) : await up(place, Number(rate));
  place.check();
  await place.close();
  await rm(stateDirectory, { recursive: true });
  console.log(JSON.stringify(results));
} finally {
  await moto.stop();
}

/** As for whoever has made the cluster from here: static keys, whose account was learnt by `up`. (Credentials that name it are as many calls; see docs/aws.md.) */
async function planned(place: AwsPlace, stateDirectory: string) {
  await (await infrastructure(place)).converge();
  const { calls } = place.proxy;
  const before = calls.length;
  const { seconds, peakMb, changes } = await child(place, stateDirectory);
  if (changes !== 0) throw new Error(`${changes} changes in a plan that should have none`);
  tell(calls.slice(before));
  return { seconds, peakMb, calls: calls.length - before };
}

/** `times`: how much longer it took than the throttle alone makes it take: calls that were let through ÷ rate, of all services together. */
async function up(place: AwsPlace, perSecond: number) {
  const { weather, calls } = place.proxy;
  weather.throttle = { perSecond, burst: perSecond, shared: true };
  const started = performance.now();
  await (await infrastructure(place)).converge();
  const seconds = (performance.now() - started) / 1000;
  weather.throttle = undefined;
  const passed = calls.filter(({ fault }) => fault === undefined).length;
  tell(calls);
  console.error(`${passed} passed, ${calls.length - passed} refused`);
  return { seconds: Math.round(seconds * 10) / 10, times: Math.round((seconds / (passed / perSecond)) * 100) / 100 };
}

function child(
  { account, proxy }: AwsPlace,
  stateDirectory: string,
): Promise<{ seconds: number; peakMb: number; changes: number }> {
  return new Promise((done, fail) => {
    const script = fileURLToPath(new URL('./aws-plan.ts', import.meta.url));
    const plan = spawn(process.execPath, [script, file, proxy.url, account.id, stateDirectory], { stdio: ['ignore', 'pipe', 2] });
    let out = '';
    plan.stdout?.on('data', (data) => {
      out += String(data);
    });
    plan.on('exit', (code) => (code === 0 ? done(JSON.parse(out)) : fail(new Error(`the plan ended with ${code}`))));
  });
}

function tell(calls: readonly Call[]): void {
  const counts = new Map<string, number>();
  for (const { service, action } of calls) counts.set(`${service}.${action}`, (counts.get(`${service}.${action}`) ?? 0) + 1);
  const lines = [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, count]) => `${count} ${name}`);
  console.error(`${calls.length} calls: ${lines.join(', ')}`);
}
