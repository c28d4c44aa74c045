import { messageOf } from '../errors.ts';
import type { KubeApi } from './client.ts';
import type { KubeClients } from './clients.ts';
import { deleteOwned } from './delete-owned.ts';
import { cordon, isCordonedByOthers } from './drain/cordon.ts';
import { type KubeObject, marks } from './objects.ts';
import type { SharedPoll } from './wait.ts';

/**
 * A kubelet registers its Node when it starts, and never again. So a Node that is deleted while its kubelet runs stays away until somebody
 * starts the kubelet again; and one that a machine before it has left keeps that machine's provider ID, by which a cloud controller finds
 * it gone, deletes the Node, or sends the new machine's traffic to the old one.
 */

/** How long a Node may be missing, and its kubelet run without one, before the kubelet is started again; doubled each time. */
const patienceMs = 10_000;

interface Registering {
  readonly clients: KubeClients;
  readonly signal: AbortSignal;
  progress(message: string): void;
}

/**
 * Deletes the Node that `isForeign`, and starts the kubelet again, so that it registers this machine. Returns what makes the new Node, once it is
 * there, as cordoned as that one was: who cordoned a master did so for the name. (A kill in between loses that.)
 */
export async function forgetFormer(
  api: KubeApi,
  name: string,
  isForeign: (node: KubeObject) => boolean,
  registering: Registering,
): Promise<() => Promise<void>> {
  const { signal, progress } = registering;
  let former: KubeObject | undefined;
  const isFormer = (node: KubeObject): boolean => {
    former = isForeign(node) ? node : undefined;
    return former !== undefined;
  };
  const node = { apiVersion: 'v1', kind: 'Node', name };
  if ((await deleteOwned(api, node, isFormer, signal)) === undefined) return async () => undefined;
  progress('the Node of the machine that was here before is deleted');
  await restart(name, 0, registering);
  return async () => {
    const runId = former?.metadata.annotations?.[marks.cordon];
    if (former && isCordonedByOthers(former))
      await api.patch(node, 'application/merge-patch+json', { spec: { unschedulable: true } }, signal);
    if (runId !== undefined) await cordon(api, name, { runId, signal });
  };
}

/** The shared list of nodes for who waits for one: when that one is missing although its kubelet runs, the kubelet is started again. */
export function revived(name: string, registering: Registering): SharedPoll<ReadonlyMap<string, KubeObject>> {
  let patience = patienceMs;
  let missingSince: number | undefined;
  return {
    async next(signal) {
      const nodes = await registering.clients.nodes.next(signal);
      if (nodes.has(name)) missingSince = undefined;
      else missingSince ??= performance.now();
      if (missingSince !== undefined && performance.now() - missingSince > patience) {
        missingSince = undefined;
        if (await restart(name, patienceMs, registering)) patience *= 2;
      }
      return nodes;
    },
  };
}

/** Whether its kubelet ran, for this long at least, and is started again. It interrupts no pod. A host that cannot be asked is no failure here: who waits says what is missing. */
async function restart(name: string, runsMs: number, { clients, signal, progress }: Registering): Promise<boolean> {
  const { hosts } = clients;
  if (hosts?.access().hosts.get(name)?.state !== 'reachable') return false;
  const script = `[ "$(systemctl show -p ActiveState --value kubelet)" = active ] || exit 0
    since=$(systemctl show -p ActiveEnterTimestampMonotonic --value kubelet)
    now=$(cut -d . -f 1 /proc/uptime)
    [ $((now - since / 1000000)) -ge ${Math.round(runsMs / 1000)} ] || exit 0
    systemctl restart --no-block kubelet && echo restarted`;
  try {
    const host = await hosts.get(name, { signal, waitMs: 3_000 });
    const { stdout } = await host.exec(script, { signal, timeoutMs: 10_000 });
    if (stdout.trim() !== 'restarted') return false;
    progress('its kubelet is started again, to register it');
    return true;
  } catch (error) {
    signal.throwIfAborted();
    progress(`its kubelet could not be asked: ${messageOf(error)}`);
    return false;
  }
}
