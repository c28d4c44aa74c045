import { UserError } from '../errors.ts';
import type { Host } from './host.ts';
import { quote } from './quote.ts';

/**
 * Units that say on the machine itself whether they are well: a process that runs, and reaches nothing, is none that works. A kubelet's word is its Node's
 * condition, an API server's its /readyz, etcd's who leads. https://kubernetes.io/docs/reference/networking/ports-and-protocols/
 */
const ownWord: Readonly<Record<string, string>> = {
  'kube-controller-manager.service': 'https://127.0.0.1:10257/healthz',
  'kube-scheduler.service': 'https://127.0.0.1:10259/healthz',
  'kube-proxy.service': 'http://127.0.0.1:10256/livez',
};

/** Waits until each of these units that can say so says that it is well. One round trip. Throws UserError with the last lines of one that does not. */
export async function programsWell(
  host: Pick<Host, 'name' | 'exec'>,
  units: readonly string[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const asked = units.flatMap((unit) => (ownWord[unit] === undefined ? [] : [`${unit} ${ownWord[unit]}`]));
  if (asked.length === 0) return;
  const seconds = Math.ceil(timeoutMs / 1000);
  // On loopback, and nothing secret is asked: the certificate is not checked.
  const command = `end=$(( $(date +%s) + ${seconds} ))
    while :; do
      bad=
      for asked in ${asked.map(quote).join(' ')}; do
        said=$(curl -ksS --max-time 2 -w '\\n%{http_code}' "\${asked#* }" 2>&1)
        [ "\${said##*
}" = 200 ] || bad="$bad \${asked%% *}"
      done
      [ -n "$bad" ] || exit 0
      [ $(date +%s) -lt $end ] || break
      sleep 0.2
    done
    for unit in $bad; do echo "$unit is not well"; journalctl -u "$unit" -n 8 --no-pager -o cat; done
    exit 1`;
  const { code, stdout, stderr } = await host.exec(command, { signal, timeoutMs: timeoutMs + 20_000 });
  if (code === 0) return;
  throw new UserError({
    what: `programs are not well ${seconds} s after their restart, by their own word`,
    where: host.name,
    why: (stdout || stderr)
      .trim()
      .split('\n')
      .map((line) => line.slice(0, 400))
      .join('\n'),
    next: `cluster logs ${host.name}; then run the same command again: it goes on from there`,
  });
}
