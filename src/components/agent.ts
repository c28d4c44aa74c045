import { agentAsset, runtimeAsset } from '../assets/catalogue.ts';
import type { Topology } from '../cluster/topology.ts';
import { durationMs } from '../config/duration.ts';
import type { Pool } from '../config/schema.ts';
import type { Bundle, CertificateSpec } from './bundle.ts';
import { joinRequest, machinesJoin, noticeAnnotation, requestLine } from './joining.ts';
import { type Part, textFile } from './part.ts';
import { certificate, identities, leafLifetimeDays, trust, trustFile } from './pki.ts';
import { sandbox } from './sandbox.ts';
import { render } from './template.ts';

const configFile = '/etc/slipway/agent.json';
const name = 'slipway-agent.service';

/** The agent, on masters: it approves what `pools` (the bundles of the pools, by pool) say, and nothing else. */
export function agent(topology: Topology, pools: ReadonlyMap<string, Bundle>): Part {
  // Without a group nobody joins; the API servers are ready for the first one (machinesJoin).
  if (topology.groups.length === 0) return {};
  const config = {
    cluster: topology.cluster.name,
    region: topology.region,
    pools: Object.fromEntries(
      topology.cluster.pools.map((pool) => [
        pool.name,
        {
          drainSeconds: Math.ceil(durationMs(pool.upgrade.drain.timeout) / 1000),
          requests: (pools.get(pool.name)?.certificates ?? []).map(joinRequest),
        },
      ]),
    ),
  };
  return {
    files: [trust('kubernetes'), textFile(configFile, `${JSON.stringify(config, null, 1)}\n`)],
    units: [
      {
        name,
        text: render(`units/${name}`, {
          node: `/opt/slipway/${runtimeAsset.path}`,
          agent: `/opt/slipway/${agentAsset().path}`,
          // A compiler of JavaScript writes what it runs.
          sandbox: sandbox().replace(/^MemoryDenyWriteExecute=yes$/m, 'MemoryDenyWriteExecute=no'),
        }),
        inputs: [configFile, trustFile('kubernetes')],
        certificates: ['agent'],
        serving: false,
      },
    ],
    assets: [runtimeAsset, agentAsset()],
    certificates: [certificate({ name: 'agent', authority: 'kubernetes', cn: identities.agent, usages: ['client'] })],
  };
}

const script = '/etc/slipway/notices';
/** What tells of a spot machine's end, on AWS. */
export function notices(topology: Topology, pool: Pool): Part {
  if (!topology.cluster.provider.aws || !pool.spot) return {};
  const text = render('config/notices-aws.sh', { ca: trustFile('kubernetes'), annotation: noticeAnnotation });
  return {
    files: [trust('kubernetes'), textFile(script, text, '0755')],
    units: [
      {
        name: 'slipway-notices.service',
        text: render('units/slipway-notices.service', { script }),
        inputs: [script],
        certificates: ['kubelet-client'],
        serving: false,
      },
    ],
  };
}

const renewScript = '/etc/slipway/renew';
const certificateList = '/etc/slipway/certificates';
const daySeconds = 86_400;
/** What keeps the certificates of a pool's machines fresh, where the CLI does not know these machines. */
export function renewal(topology: Topology, certificates: readonly CertificateSpec[]): Part {
  if (!machinesJoin(topology)) return {};
  const text = render('config/renew.sh', {
    ca: trustFile('kubernetes'),
    list: certificateList,
    seconds: Math.round((leafLifetimeDays * daySeconds) / 3),
    pause: 2,
  });
  return {
    files: [
      textFile(renewScript, text, '0755'),
      textFile(certificateList, certificates.map((spec) => `${requestLine(spec)}\n`).join('')),
    ],
    units: [
      {
        name: 'slipway-renew.service',
        text: render('units/slipway-renew.service', { script: renewScript }),
        inputs: [renewScript, certificateList],
        certificates: ['kubelet-client'],
        serving: false,
      },
    ],
  };
}
