import { refuse } from './answers.ts';
import type { Call } from './exchange.ts';
import { type DownloadFault, downloadFaults } from './lab/downloads.ts';
import type { Lab } from './lab/lab.ts';
import { textsOf } from './xml.ts';

/** What can be met, by who counts it. */
const kinds = {
  throttled: ({ fault }: Call) => fault === 'throttle',
  late: ({ fault = '' }: Call) => fault.startsWith('delay'),
  error: ({ fault = '' }: Call) => /^(error|unavailable)$/.test(fault),
  'dropped before the commit': ({ fault }: Call) => fault === 'drop-before',
  'dropped after the commit': ({ fault, committed }: Call) => fault === 'drop-after' && committed,
  'answer cut': ({ fault }: Call) => fault === 'truncate',
  hidden: ({ met }: Call) => met === 'hidden',
  'token again': ({ met }: Call) => met === 'token again',
  'token of a terminated instance': ({ met }: Call) => met === 'token of a terminated instance',
  'token with another request': ({ code }: Call) => code === 'IdempotentParameterMismatch',
  DependencyViolation: ({ code }: Call) => code === 'DependencyViolation',
  quota: ({ code }: Call) => code === 'VcpuLimitExceeded',
} as const satisfies Readonly<Record<string, (call: Call) => boolean>>;
type Kind = keyof typeof kinds | `download: ${DownloadFault}`;

export interface Storm {
  /**
   * Nobody is hit meanwhile. What a test does itself is to succeed: a change that was lost after it was carried out cannot be told from one that was not. And
   * upstream's cloud controller waits longer after each failure, up to minutes.
   */
  sparing<T>(work: () => Promise<T>): Promise<T>;
  /** How often each kind was met so far. */
  met(): Readonly<Record<Kind, number>>;
  /** The account's vCPUs are used up once so many are taken, from the first change on: preflight still saw room. Until `raiseQuota`. */
  lowerQuota(vcpus: number): void;
  raiseQuota(): void;
}

/**
 * AWS on a bad day, from now on, for whoever calls: the CLI, the cloud controller, the agent, machines that boot. Calls are lost before or after they were
 * carried out, refused, or late; what was just made is hidden for a while, and takes time to be ready. What a lot may not draw is ordered: a machine that ends
 * as soon as it is made and whose answer is lost, a token that is sent again or is known with another request, a subnet that is still in use. `seed`: undefined for a fair day.
 */
export function startStorm({ proxy, downloads, account, region }: Lab, seed: number | undefined): Storm {
  let spared = false;
  const only = (): boolean => !spared;
  let vcpus: number | undefined;
  let doomed = seed !== undefined;
  if (seed !== undefined) {
    const rates = { dropBefore: 0.03, dropAfter: 0.03, truncate: 0.01, throttle: 0.05, error: 0.03, delay: 0.1, delayMs: 500 };
    Object.assign(proxy.weather, { faults: { seed, only, ...rates }, hiddenMs: 1_500, settleMs: 2_000 });
    downloads.oneIn = 6;
    const mismatch = 'The request uses the same client token as a previous, but non-identical request.';
    proxy.once('CreateVolume', { refuse: refuse('IdempotentParameterMismatch', mismatch) });
    proxy.once('CreateNetworkInterface', 'drop-after');
    proxy.once('RunInstances', 'drop-after');
    proxy.once('DeleteSubnet', { refuse: refuse('DependencyViolation', 'The subnet has dependencies and cannot be deleted.') });
  }
  proxy.onCall = async (call) => {
    if (vcpus !== undefined && call.committed && call.action === 'CreateVpc') proxy.weather.quotas = { vcpus };
    // AWS starts it, and ends it at once (a disk whose key may not be used is one cause): whoever asks again by its token is told of a dead machine.
    if (doomed && call.committed && call.action === 'RunInstances' && call.fault === 'drop-after') {
      doomed = false;
      const resource = /aws\.machine\/[\w-]+/.exec(JSON.stringify(call.params))?.[0] ?? '';
      const filter = { 'Filter.1.Name': 'tag:slipway.dev/resource', 'Filter.1.Value.1': resource };
      const [id = ''] = textsOf(await proxy.ask(account.id, 'ec2', 'DescribeInstances', filter, region), 'instanceId');
      await proxy.ask(account.id, 'ec2', 'TerminateInstances', { 'InstanceId.1': id }, region);
    }
  };
  return {
    async sparing(work) {
      spared = true;
      try {
        return await work();
      } finally {
        spared = false;
      }
    },
    met() {
      const counted = Object.entries(kinds).map(([kind, is]) => [kind, proxy.calls.filter(is).length] as const);
      const fetched = downloadFaults.map((fault) => [`download: ${fault}`, downloads.met.get(fault) ?? 0] as const);
      return Object.fromEntries([...counted, ...fetched]) as Record<Kind, number>;
    },
    lowerQuota(to) {
      vcpus = to;
    },
    raiseQuota() {
      vcpus = undefined;
      proxy.weather.quotas = {};
    },
  };
}
