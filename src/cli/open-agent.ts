import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { openAgentCloud } from '../../providers/aws/agent-cloud.ts';
import { identityCertificates } from '../../providers/aws/identity-certificates.ts';
import { runAgent } from '../agent/agent.ts';
import { parseConfig } from '../agent/config.ts';
import { agentKube } from '../agent/kube.ts';
import { UserError } from '../errors.ts';
import { openHttp } from '../kube/http.ts';

export interface AgentInput {
  /** /etc/slipway/host.env and boot.env of this master. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
  /** Where /etc/slipway is: for tests. */
  readonly directory?: string;
}

const lookEveryMs = 60_000;

/** The agent with its ports to the world. Ends when `signal` is aborted, or when its certificate was renewed: its unit starts it again. */
export async function openAgent({ variables, log, signal, directory = '/etc/slipway' }: AgentInput): Promise<void> {
  const read = (path: string): Promise<string> => readFile(`${directory}/${path}`, 'utf8');
  const variable = (name: string): string => {
    const value = variables[name];
    if (value) return value;
    throw new UserError({ what: `${name} is not set`, next: `start it by its unit, slipway-agent.service, on a master` });
  };
  const config = parseConfig(await read('agent.json'));
  const [caPem, certPem, keyPem] = await Promise.all([
    read('pki/kubernetes.ca.pem'),
    read('pki/agent.pem'),
    read('pki/agent-key.pem'),
  ]);
  // The API server of this very master (hard part 14).
  const http = openHttp({ server: 'https://127.0.0.1:6443', tlsServerName: 'localhost', caPem, certPem, keyPem });
  const ended = AbortSignal.any([signal, renewed(`${directory}/pki/agent.pem`, signal)]);
  try {
    await runAgent({
      config,
      kube: agentKube(http),
      cloud: openAgentCloud({
        cluster: config.cluster,
        region: config.region,
        bucket: variable('STORE_BUCKET'),
        workerRoleId: variable('WORKER_ROLE_ID'),
        certificates: await documentCertificates(config.region, () => read('identity-document.pem')),
        endpoint: variables.CLOUD_ENDPOINT || undefined,
      }),
      holder: variable('NODE_NAME'),
      log,
      now: Date.now,
      monotonic: () => performance.now(),
      random: (bytes) => randomBytes(bytes),
      signal: ended,
    });
  } finally {
    http.close();
  }
}

/** What AWS signs identity documents with: a file on this master, or what comes with Slipway for the region. */
async function documentCertificates(region: string, own: () => Promise<string>): Promise<readonly string[]> {
  const file = await own().catch(() => undefined);
  const certificates = file === undefined ? identityCertificates[region] : [file];
  if (certificates) return certificates;
  throw new UserError({
    what: `the certificate with which AWS signs identity documents in ${region} does not come with this version`,
    why: 'without it no machine of a pool can prove who it is, and none is let in',
    next: 'put it into /etc/slipway/identity-document.pem on each master: AWS publishes it in the EC2 User Guide (AWS public certificates for instance identity document signatures, RSA-2048)',
  });
}

function renewed(file: string, signal: AbortSignal): AbortSignal {
  const ended = new AbortController();
  const look = async (): Promise<number> => (await stat(file)).mtimeMs;
  void look().then(
    (first) => {
      const timer = setInterval(() => {
        void look().then(
          (now) => now !== first && ended.abort(new Error('its certificate was renewed')),
          () => undefined,
        );
      }, lookEveryMs);
      timer.unref();
      signal.addEventListener('abort', () => clearInterval(timer), { once: true });
    },
    () => undefined,
  );
  return ended.signal;
}
