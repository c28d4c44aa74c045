import { UserError } from '../../errors.ts';
import { readFacts } from '../../host/facts.ts';
import type { HostFacts, HostsClients } from '../../host/host.ts';
import { fields } from '../../plan/fields.ts';
import { type Address, addressOf, type Context, nameOf, type Observation, type ResourceType } from '../../plan/resource.ts';

export interface KubeApiProps {
  readonly ready: boolean;
}
type Outputs = Record<never, never>;
const unit = 'kube-apiserver.service';
const probe = 'apiserver';
const readyWithinMs = 90_000;

/** /readyz is open to everyone; asked on the host itself, so that no balancer and no certificate stands between. */
const readyz = `curl --silent --insecure --output /dev/null --write-out '%{http_code}' --max-time 2 https://127.0.0.1:6443/readyz`;

/** That a master's API server is ready (`kube.api/master-a`). Creating it is waiting for it; starting it is `host.units`'s. */
export const kubeApi: ResourceType<KubeApiProps, Outputs, HostsClients> = {
  name: 'kube.api',
  dependsOn: ['host.units'],
  shrink: 'never',
  lane: 'kube.api',
  timeoutMs: readyWithinMs + 30_000,
  async observe(world) {
    const facts = await world.read(readFacts);
    const found = new Map<Address, Observation<KubeApiProps, Outputs>>();
    await Promise.all(
      [...world.clients.machines].map(async ([name, { bundle }]) => {
        const seen = facts.get(name);
        if (!bundle.units.some((candidate) => candidate.name === unit) || seen === undefined || seen.state === 'absent') return;
        const address = addressOf('kube.api', name);
        if (seen.state === 'unknown') found.set(address, seen);
        else if (seen.facts.bundle !== undefined) {
          // Installed and down is an update: a plan that says "create" reads as if there were none.
          const ready = await isReady(name, seen.facts, world.clients, world.signal);
          found.set(address, { state: 'present', props: { ready }, outputs: {} });
        }
      }),
    );
    return found;
  },
  diff: fields<KubeApiProps>({ ready: 'none' }),
  waits: true,
  create: (_props, ctx) => waitUntilReady(ctx),
  update: (_props, _outputs, ctx) => waitUntilReady(ctx),
  verify: async (_props, ctx) => {
    await waitUntilReady(ctx);
  },
};

/** By the probe that came with the facts; a host that knows no such probe yet is asked, if its unit runs at all. */
async function isReady(name: string, facts: HostFacts, { hosts }: HostsClients, signal: AbortSignal): Promise<boolean> {
  if (facts.units.get(unit)?.active !== 'active') return false;
  const answer = facts.probes.get(probe);
  if (answer) return answer.code === 0 && /^(ok|200)/.test(answer.stdout.trim());
  const host = await hosts.get(name, { signal });
  return (await host.exec(readyz, { signal, timeoutMs: 5_000 })).stdout.trim() === '200';
}

/** One round trip: the loop runs on the host. */
async function waitUntilReady({ clients, signal, address, progress }: Context<HostsClients>): Promise<Outputs> {
  const name = nameOf(address);
  const host = await clients.hosts.get(name, { signal });
  const command = `end=$(( $(date +%s) + ${readyWithinMs / 1000} )); while :; do code=$(${readyz}); [ "$code" != 200 ] || exit 0
    [ $(date +%s) -lt $end ] || break; sleep 0.15; done
    echo "last answer of /readyz: $code"; curl --silent --insecure --max-time 2 'https://127.0.0.1:6443/readyz?verbose' | grep -v '^\\[+\\]' | head -n 8
    systemctl is-active ${unit} | sed 's/^/${unit} is /'; journalctl -u ${unit} -n 12 --no-pager -o cat | cut -c 1-400; exit 75`;
  progress('waiting for /readyz');
  const { code, stdout, stderr } = await host.exec(command, { signal, timeoutMs: readyWithinMs + 15_000 });
  if (code === 0) return {};
  throw new UserError({
    what: `its API server did not get ready within ${readyWithinMs / 1000} s`,
    where: name,
    why: (stdout || stderr).trim(),
    next: `cluster logs ${name}, then run the same command again`,
  });
}
