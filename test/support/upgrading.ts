import type { ChildProcess } from 'node:child_process';
import { type Ended, ended, eventsIn, type RunEvent, type TestCluster } from './cli.ts';

/** Something that happens once, beside a run, as soon as an event is that. */
export interface Fault {
  when(event: RunEvent): boolean;
  act(run: ChildProcess, event: RunEvent): unknown;
}
export interface Upgraded extends Ended {
  readonly events: readonly RunEvent[];
}

/** `cluster upgrade` to its end, with these faults on its way. Fails the test if one of them never came: then nothing was tested. */
export async function upgradeWith(cluster: TestCluster, ...faults: readonly Fault[]): Promise<Upgraded> {
  const child = cluster.start('upgrade', '--yes', '-o', 'json');
  const due = new Set(faults);
  const acts: Promise<unknown>[] = [];
  const events: RunEvent[] = [];
  let rest = '';
  child.stdout?.on('data', (data) => {
    const lines = (rest + String(data)).split('\n');
    rest = lines.pop() ?? '';
    for (const event of eventsIn(lines.join('\n'))) {
      events.push(event);
      for (const fault of due) {
        if (!fault.when(event)) continue;
        due.delete(fault);
        acts.push(Promise.resolve(fault.act(child, event)));
      }
    }
  });
  const result = await ended(child);
  await Promise.all(acts);
  if (due.size > 0) throw new Error(`${due.size} faults never came\n${result.stderr.slice(-3000)}`);
  return { ...result, events };
}

/** The first event of this type whose task is that. */
export const at = (type: RunEvent['type'], task: string | RegExp) => (event: RunEvent) =>
  event.type === type && (typeof task === 'string' ? event.task === task : task.test(event.task));
export const sigkill = (run: ChildProcess): boolean => run.kill('SIGKILL');
