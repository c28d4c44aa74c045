import { openAws } from '../../../providers/aws/provider.ts';
import type { Cluster } from '../../../src/config/schema.ts';
import type { Place } from '../../contract/provider.ts';
import type { Call } from './exchange.ts';
import { inventory } from './inventory.ts';
import { type Account, type Moto, newAccount } from './moto.ts';
import { type AwsProxy, lifeHeader, startProxy } from './proxy.ts';
import { textsOf } from './xml.ts';

export interface AwsPlace extends Place {
  readonly proxy: AwsProxy;
  readonly account: Account;
}

/** How long AWS hides what was just made, at most, and how long things take to settle: of a storm, in milliseconds. */
const hiddenMs = 60;
const settleMs = 40;

/** An account of its own behind a proxy of its own, over a moto that others share. */
export async function awsPlace(
  moto: Moto,
  cluster: Cluster,
  seen: (call: Call) => void = () => undefined,
  options: { readonly stateDirectory?: string } = {},
): Promise<AwsPlace> {
  const account = newAccount();
  const proxy = await startProxy(moto);
  const region = cluster.provider.aws?.region ?? '';
  let lives = 0;
  proxy.onCall = (call) => {
    seen(call);
    return bootMachines(moto, proxy, call, region);
  };
  return {
    cluster,
    proxy,
    account,
    open: () => {
      const life = String(++lives);
      return openAws({
        ...options,
        cluster,
        endpoint: proxy.url,
        credentials: account.credentials,
        windowMs: hiddenMs * 4,
        configure: ({ middlewareStack }) =>
          middlewareStack.add(
            (next) => (args) => {
              const { request } = args;
              if (typeof request === 'object' && request !== null && 'headers' in request)
                Object.assign(request.headers ?? {}, { [lifeHeader]: life });
              return next(args);
            },
            { step: 'build' },
          ),
      });
    },
    inventory: () => inventory(proxy, account.id, region),
    async foreign() {
      const { id } = account;
      const [vpc = ''] = textsOf(await proxy.ask(id, 'ec2', 'CreateVpc', { CidrBlock: '10.99.0.0/16' }, region), 'vpcId');
      await proxy.ask(id, 'ec2', 'CreateSubnet', { VpcId: vpc, CidrBlock: '10.99.0.0/24' }, region);
      const name = { GroupName: 'demo-master', GroupDescription: 'of somebody else', VpcId: vpc };
      await proxy.ask(id, 'ec2', 'CreateSecurityGroup', name, region);
      await proxy.ask(id, 'ec2', 'CreateVolume', { AvailabilityZone: `${region}a`, Size: '1', VolumeType: 'gp3' }, region);
      await proxy.ask(id, 'ec2', 'AllocateAddress', { Domain: 'vpc' }, region);
    },
    killAfter: (changes, died) => proxy.killAfter(changes, died),
    revive: () => proxy.revive(),
    storm(seed) {
      Object.assign(
        proxy.weather,
        seed === undefined
          ? { faults: undefined, hiddenMs: 0, settleMs: 0, pageItems: 1000 }
          : {
              faults: {
                seed,
                dropBefore: 0.02,
                dropAfter: 0.03,
                truncate: 0.01,
                throttle: 0.03,
                error: 0.02,
                delay: 0.05,
                delayMs: 50,
              },
              hiddenMs,
              settleMs,
              pageItems: 5,
            },
      );
    },
    changes: () => proxy.calls.filter(({ committed }) => committed).length,
    check() {
      const wrong = [
        ...proxy.violations.map(({ service, action, at, why }) => `AWS refuses ${service}.${action}: ${at}: ${why}`),
        ...proxy.accidents.map(({ call, status, why }) => `moto broke: ${call.action} ${status} ${why}`),
      ];
      if (wrong.length > 0) throw new Error([...new Set(wrong)].join('\n'));
    },
    close: () => proxy.close(),
  };
}

const hostKey = `ssh-ed25519 ${'A'.repeat(68)}`;
/** A machine that was launched boots, and publishes its SSH host key where only it can write. */
async function bootMachines(moto: Moto, proxy: AwsProxy, call: Call, region: string): Promise<void> {
  if (call.action !== 'RunInstances' || !call.committed) return;
  const profile = call.params.IamInstanceProfile;
  const name = typeof profile === 'object' && profile !== null && 'Name' in profile ? String(profile.Name) : '';
  const role = textsOf(await proxy.ask(call.account, 'iam', 'GetInstanceProfile', { InstanceProfileName: name }), 'RoleId')[0];
  const bucket = /slipway-[a-z0-9-]+/.exec(Buffer.from(String(call.params.UserData ?? ''), 'base64').toString())?.[0];
  // Of the design: nobody asks for the keys of pools' machines.
  const designed = { 'Filter.1.Name': 'tag:slipway.dev/resource', 'Filter.1.Value.1': 'aws.machine/*', MaxResults: '1000' };
  const ids = textsOf(await proxy.ask(call.account, 'ec2', 'DescribeInstances', designed, region), 'instanceId');
  if (role === undefined || bucket === undefined) return;
  for (const id of ids)
    await fetch(`${moto.url}/${bucket}/hosts/${encodeURIComponent(`${role}:${id}`)}/host-key`, {
      method: 'PUT',
      body: hostKey,
      headers: {
        'x-moto-account-id': call.account,
        authorization: `AWS4-HMAC-SHA256 Credential=machine/20260101/${region}/s3/aws4_request, SignedHeaders=host, Signature=none`,
      },
    });
}
