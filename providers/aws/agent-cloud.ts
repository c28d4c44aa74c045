import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  paginateDescribeAutoScalingGroups,
  RecordLifecycleActionHeartbeatCommand,
} from '@aws-sdk/client-auto-scaling';
import { EC2Client, paginateDescribeInstances } from '@aws-sdk/client-ec2';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { AgentCloud, HeldMachine, Instance } from '../../src/agent/cloud.ts';
import { codeOf, isNotFound } from './errors.ts';
import { isSigned } from './identity-document.ts';
import { pacer, patiently } from './pace.ts';
import { requestHandler } from './request-handler.ts';
import { clusterTag, poolTag, tagsFrom } from './tags.ts';

export interface AgentCloudOptions {
  readonly cluster: string;
  readonly region: string;
  readonly bucket: string;
  /** ID of the workers' role: below it lie the proofs of its machines. */
  readonly workerRoleId: string;
  /** Certificates (PEM) with which AWS signs instance identity documents in this region. */
  readonly certificates: readonly string[];
  /** Instead of AWS's own: for tests. */
  readonly endpoint?: string | undefined;
  /** Instead of the SDK's chain, which ends at the machine's instance profile: for tests. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** How long AWS may be silent before a request counts as lost, in milliseconds. */
  readonly idleMs?: number;
}

interface AgentSdk {
  readonly ec2: EC2Client;
  readonly autoscaling: AutoScalingClient;
  readonly s3: S3Client;
}

/** Fewer than a command's: the agent comes round again by itself. */
const attempts = 6;

/** Hooks of our groups, by their names (providers/aws/pool.ts). */
const hooks = { launch: 'slipway-launch', terminate: 'slipway-terminate' } as const;

/** AWS as `cluster agent` needs it, with the credentials of the machine it runs on. */
export function openAgentCloud(options: AgentCloudOptions): AgentCloud {
  const { cluster, region, bucket, workerRoleId, certificates, endpoint, credentials, idleMs = 15_000 } = options;
  const common = {
    region,
    // One call that is never answered must not keep the others, and the next leader, waiting.
    requestHandler: requestHandler(idleMs),
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials && { credentials }),
  };
  const ec2 = new EC2Client({ ...common, retryStrategy: patiently(attempts) });
  const shared = { ...common, credentials: ec2.config.credentials };
  const autoscaling = new AutoScalingClient({ ...shared, retryStrategy: patiently(attempts) });
  const s3 = new S3Client({
    ...shared,
    retryStrategy: patiently(attempts),
    ...(endpoint !== undefined && { forcePathStyle: true }),
  });
  const paced = pacer();
  const sdk: AgentSdk = { ec2, autoscaling, s3 };
  for (const [name, client] of Object.entries(sdk)) paced(client, name);

  const read = async (Key: string, abortSignal: AbortSignal): Promise<string | undefined> => {
    try {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key }), { abortSignal });
      return await Body?.transformToString();
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };
  return {
    async instances(ids, abortSignal) {
      const found = new Map<string, Instance>();
      // By filter: an ID that does not exist is an error of the call otherwise, and hides the others.
      for (let from = 0; from < ids.length; from += 200) {
        const Filters = [{ Name: 'instance-id', Values: ids.slice(from, from + 200) }];
        for await (const page of paginateDescribeInstances({ client: ec2 }, { Filters }, { abortSignal }))
          for (const { Instances = [], OwnerId = '' } of page.Reservations ?? [])
            for (const instance of Instances) {
              const tags = tagsFrom(instance.Tags);
              const id = instance.InstanceId ?? '';
              found.set(id, {
                id,
                account: OwnerId,
                state: instance.State?.Name ?? '',
                address: instance.PrivateIpAddress ?? '',
                zone: instance.Placement?.AvailabilityZone ?? '',
                launched: instance.LaunchTime?.getTime() ?? 0,
                cluster: tags[clusterTag],
                pool: tags[poolTag],
              });
            }
      }
      return found;
    },
    async held(abortSignal) {
      const Filters = [{ Name: `tag:${clusterTag}`, Values: [cluster] }];
      const held: HeldMachine[] = [];
      for await (const page of paginateDescribeAutoScalingGroups({ client: autoscaling }, { Filters }, { abortSignal }))
        for (const { AutoScalingGroupName: group = '', Instances = [], Tags } of page.AutoScalingGroups ?? []) {
          if (tagsFrom(Tags)[clusterTag] !== cluster) continue;
          for (const { InstanceId: instance = '', LifecycleState } of Instances) {
            if (LifecycleState === 'Pending:Wait') held.push({ instance, group, why: 'launch' });
            if (LifecycleState === 'Terminating:Wait') held.push({ instance, group, why: 'terminate' });
          }
        }
      return held;
    },
    async release({ instance, group, why }, how, abortSignal) {
      const LifecycleActionResult = how === 'continue' ? 'CONTINUE' : 'ABANDON';
      const command = new CompleteLifecycleActionCommand({
        AutoScalingGroupName: group,
        LifecycleHookName: hooks[why],
        InstanceId: instance,
        LifecycleActionResult,
      });
      await autoscaling.send(command, { abortSignal }).catch(unlessOver);
    },
    async keepHolding({ instance, group, why }, abortSignal) {
      const command = new RecordLifecycleActionHeartbeatCommand({
        AutoScalingGroupName: group,
        LifecycleHookName: hooks[why],
        InstanceId: instance,
      });
      await autoscaling.send(command, { abortSignal }).catch(unlessOver);
    },
    // Only the instance itself may write here: IAM puts its own ID into the path that its role allows.
    proof: (instance, signal) => read(`join/requests/${workerRoleId}:${instance}/request.json`, signal),
    isGenuine: (document, signature, signal) => isSigned(document, signature, certificates, signal),
    token: (pool, signal) => read(`join/${pool}/token`, signal),
    async putToken(pool, token, abortSignal) {
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key: `join/${pool}/token`, Body: `${token}\n` }), { abortSignal });
    },
  };
}

/** The hook's time was up, or somebody was faster: nothing is held any more. */
function unlessOver(error: unknown): void {
  if (codeOf(error) !== 'ValidationError') throw error;
}
