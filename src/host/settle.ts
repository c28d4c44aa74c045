import { UserError } from '../errors.ts';
import type { Host } from './host.ts';
import { quote } from './quote.ts';

/** Restarts by systemd while this waits. What lacks something for a moment, a socket or another unit, has it long before. */
const hopeless = 20;
const kubelet = 'kubelet.service';

/**
 * Waits until what was told to restart has stopped, started again and runs: no job is queued for any of these units, and each is active (or is not to start:
 * its condition is not met). Gives up early on what ends again and again. One round trip: the loop runs on the host. Returns when the kubelet
 * started, or else the unit that did so last, in milliseconds since the epoch by the host's clock. Throws UserError with the last lines of what does not run.
 */
export async function settleUnits(
  host: Pick<Host, 'name' | 'exec'>,
  units: readonly string[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<number> {
  if (units.length === 0) return 0;
  const names = units.map(quote).join(' ');
  // Its lease is renewed when it starts, and then only every 10 s: a unit that starts after it must not make anybody wait for the next time.
  const timed = units.includes(kubelet) ? quote(kubelet) : names;
  const seconds = Math.ceil(timeoutMs / 1000);
  // A unit that crashes is active for a moment after each start: it counts when it has been so for two looks in a row.
  const command = `started=$(date +%s); end=$(( started + ${seconds} )); calm=0; least= failing=
    while :; do
      shown=$(systemctl show --property=Id,Job,ActiveState,ConditionResult,NRestarts -- ${names})
      bad=$(echo "$shown" | awk -F= '
        function tell() { if (id != "" && (job != "" && job != "0" || state != "active" && !(state == "inactive" && met == "no"))) print id }
        $1 == "Id" { id = $2 } $1 == "Job" { job = $2 } $1 == "ActiveState" { state = $2 } $1 == "ConditionResult" { met = $2 }
        /^$/ { tell(); id = job = state = met = "" } END { tell() }')
      if [ -z "$bad" ]; then calm=$((calm + 1)); [ "$calm" -lt 3 ] || break; else calm=0 failing=$bad; fi
      [ $(date +%s) -lt $end ] || break
      again=$(echo "$shown" | awk -F= '$1 == "NRestarts" { sum += $2 } END { print sum + 0 }')
      [ -n "$least" ] && [ "$least" -le "$again" ] || least=$again
      [ $((again - least)) -lt ${hopeless} ] || break
      sleep 0.15
    done
    if [ "$calm" -ge 3 ]; then
      last=$(systemctl show --property=ExecMainStartTimestampMonotonic --value -- ${timed} | sort -n | tail -n 1)
      read -r up _ </proc/uptime
      echo "$(date +%s%N) $up $last" | awk '{ printf "%.0f\\n", $1 / 1e6 - ($2 * 1e3 - $3 / 1e3) }'
      exit 0
    fi
    echo $(( $(date +%s) - started ))
    for unit in $failing; do echo "$unit $(systemctl show --value --property=ActiveState,SubState,Result "$unit" | tr '\\n' ' ')"; journalctl -u "$unit" -n 8 --no-pager -o cat; done
    exit 1`;
  const result = await host.exec(command, { signal, timeoutMs: timeoutMs + 20_000 });
  if (result.code === 0 && /^\d+$/.test(result.stdout.trim())) return Number(result.stdout.trim());
  if (result.code === 0) throw new Error(`${host.name}: no time of the last start: ${result.stdout}${result.stderr}`);
  const [took, ...lines] = result.stdout.trim().split('\n');
  throw new UserError({
    what: `units do not run ${took} s after their restart`,
    where: host.name,
    why: lines.map((line) => line.slice(0, 400)).join('\n'),
    next: `cluster logs ${host.name}`,
  });
}
