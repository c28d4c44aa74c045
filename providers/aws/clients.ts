import { AutoScalingClient } from '@aws-sdk/client-auto-scaling';
import { EC2Client } from '@aws-sdk/client-ec2';
import { ElasticLoadBalancingClient } from '@aws-sdk/client-elastic-load-balancing';
import { ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import { IAMClient } from '@aws-sdk/client-iam';
import { Route53Client } from '@aws-sdk/client-route-53';
import { S3Client } from '@aws-sdk/client-s3';
import { ServiceQuotasClient } from '@aws-sdk/client-service-quotas';
import { STSClient } from '@aws-sdk/client-sts';
import type { Store } from '../../src/store/store.ts';
import type { Existing } from './existing.ts';
import type { Nonces } from './idempotency.ts';
import { pacer, patiently } from './pace.ts';
import { requestHandler } from './request-handler.ts';
import type { Owner } from './tags.ts';

/** The SDK's clients, one a service: all keep to one pace (pace.ts), and share one connection pool. */
export interface AwsSdk {
  readonly ec2: EC2Client;
  /** Tries once: for creates that take no token, where a blind retry could make a second thing (hard part 18). */
  readonly ec2Once: EC2Client;
  readonly autoscaling: AutoScalingClient;
  /** Tries once: that a member ends and its place with it must not be said twice. */
  readonly autoscalingOnce: AutoScalingClient;
  readonly elb: ElasticLoadBalancingV2Client;
  /** Of classic balancers: ours are none, a cloud controller's may be. */
  readonly classic: ElasticLoadBalancingClient;
  readonly iam: IAMClient;
  readonly route53: Route53Client;
  readonly s3: S3Client;
  readonly sts: STSClient;
  readonly quotas: ServiceQuotasClient;
}

/** What the types of this provider talk through. */
export interface AwsClients extends AwsSdk {
  readonly owner: Owner;
  /** Identity of the cluster: part of every idempotency token. */
  readonly uid: string;
  readonly account: string;
  readonly region: string;
  /** Of the store. */
  readonly bucket: string;
  readonly nonces: Nonces;
  /** The network's parts that cluster.yaml names by ID. */
  readonly existing: Existing;
  /** Undefined before the first `up` has made it. */
  readonly store: Store | undefined;
  /** What this command has learnt of things and can never change, by their IDs: see facts.ts. */
  readonly facts: Map<string, Readonly<Record<string, string>>>;
  /** How long a thing that was just made may stay invisible, in milliseconds. */
  readonly windowMs: number;
}

export interface SdkOptions {
  readonly region: string;
  /** Instead of AWS's own: for tests. What AWS_ENDPOINT_URL says is read by the SDK itself. */
  readonly endpoint?: string | undefined;
  /** Instead of the SDK's chain (environment, profile, SSO, web identity, instance profile): for tests. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly accountId?: string };
  /** How long AWS may be silent before a request counts as lost, in milliseconds. */
  readonly idleMs?: number;
  /** Called with every client: tests add middleware. */
  readonly configure?: (client: { readonly middlewareStack: EC2Client['middlewareStack'] }) => void;
}

/** Measured under a limit of 20 requests a second: 10 attempts were the first to lose no run of 100. */
const attempts = 10;

export function openSdk({ region, endpoint, credentials, configure, idleMs = 60_000 }: SdkOptions): AwsSdk {
  const common = {
    region,
    requestHandler: requestHandler(idleMs),
    ...(endpoint !== undefined && { endpoint }),
  };
  const sts = new STSClient({ ...common, ...(credentials && { credentials }), retryStrategy: patiently(attempts) });
  // Whoever has to assume a role for them does it once, and not once a service.
  const shared = { ...common, credentials: sts.config.credentials };
  const often = () => ({ ...shared, retryStrategy: patiently(attempts) });
  const once = { ...shared, retryMode: 'standard', maxAttempts: 1 };
  const sdk: AwsSdk = {
    ec2: new EC2Client(often()),
    ec2Once: new EC2Client(once),
    autoscaling: new AutoScalingClient(often()),
    autoscalingOnce: new AutoScalingClient(once),
    elb: new ElasticLoadBalancingV2Client(often()),
    classic: new ElasticLoadBalancingClient(often()),
    iam: new IAMClient(often()),
    route53: new Route53Client(often()),
    s3: new S3Client({ ...often(), ...(endpoint !== undefined && { forcePathStyle: true }) }),
    sts,
    // Only looked at: what it cannot tell is a warning, and nothing waits for it.
    quotas: new ServiceQuotasClient({ ...shared, retryStrategy: patiently(3) }),
  };
  const paced = pacer();
  for (const [name, client] of Object.entries(sdk)) paced(client, name.replace(/Once$/, ''));
  if (configure) for (const client of Object.values(sdk)) configure(client);
  return sdk;
}
