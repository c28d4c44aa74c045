import type { MachineSpec } from '../cluster/topology.ts';
import type { Finding } from '../config/finding.ts';
import type { Seen } from '../host/facts.ts';
import type { UnitFacts } from '../host/host.ts';
import type { Observation } from '../plan/resource.ts';
import type { MachineStatus } from './status.ts';

/** What was seen of one machine: the thing itself (undefined: it does not exist), and what it said of itself. */
export interface MachineFacts {
  readonly spec: MachineSpec;
  readonly thing: Observation<object, object> | undefined;
  readonly host: Seen | undefined;
}

export const machineStatus = ({ spec, thing, host }: MachineFacts): MachineStatus => {
  const { name, role, zone, address } = spec;
  const base = { name, role, zone, address };
  if (!thing) return { ...base, state: 'absent', notes: [] };
  if (thing.state === 'unknown') return { ...base, state: 'unknown', notes: [thing.why] };
  const stopped = 'running' in thing.props && thing.props.running === false;
  const notes = host?.state === 'unknown' ? [host.why] : host?.state === 'present' ? unitNotes(host.facts.units) : [];
  return { ...base, state: stopped ? 'stopped' : 'running', notes };
};

/** Units that should run and do not, or run what is no longer on the disk. One that waits for its volume is etcd's to tell. */
function unitNotes(units: ReadonlyMap<string, UnitFacts>): readonly string[] {
  return [...units].flatMap(([name, { active, stale, waitsFor }]) => {
    if (!runs(active)) return [waitsFor === undefined ? `${name} is ${active}` : `${name} waits for ${waitsFor}`];
    return stale ? [`${name} runs older content than lies there`] : [];
  });
}
const runs = (active: string): boolean => active === 'active' || active === 'activating' || active === 'reloading';

/** Are all machines of the design there, running, and do they answer? */
export function machineFindings(machines: readonly MachineFacts[]): readonly Finding[] {
  const statuses = machines.map((facts) => ({ ...facts, status: machineStatus(facts) }));
  const named = (state: MachineStatus['state']): readonly string[] =>
    statuses.filter(({ status }) => status.state === state).map(({ spec }) => spec.name);
  const silent = statuses.filter(({ status, host }) => status.state === 'running' && host?.state === 'unknown');
  const dead = statuses.filter(({ status, host }) => status.state === 'running' && host?.state === 'present');
  return [
    ...some('machines.absent', named('absent'), 'does not exist', 'do not exist', 'cluster up makes it'),
    ...some('machines.stopped', named('stopped'), 'is not running', 'are not running', 'cluster up starts it'),
    ...unreachable(
      statuses
        .filter(({ status }) => status.state === 'unknown')
        .map(({ spec, status }) => ({ name: spec.name, why: status.notes.join('; ') })),
    ),
    ...unreachable(silent.map(({ spec, host }) => ({ name: spec.name, why: host?.state === 'unknown' ? host.why : '' }))),
    ...dead.flatMap(({ spec, host }) => (host?.state === 'present' ? unitFindings(spec.name, host.facts.units) : [])),
  ];
}

function some(check: string, names: readonly string[], one: string, many: string, next: string): readonly Finding[] {
  if (names.length === 0) return [];
  const what = names.length === 1 ? `the machine ${one}` : `${names.length} machines ${many}`;
  return [{ severity: 'error', check, where: names.join(', '), what, next }];
}

/** One cause (a bastion that is gone) is one finding, however many machines are behind it. */
function unreachable(machines: readonly { readonly name: string; readonly why: string }[]): readonly Finding[] {
  const byCause = Map.groupBy(machines, ({ name, why }) => why.replaceAll(name, 'it'));
  return [...byCause.values()].map((group) => {
    const names = group.map(({ name }) => name);
    const why = group[0]?.why;
    return {
      severity: 'error',
      check: 'machines.unreachable',
      where: names.join(', '),
      what: `${names.length === 1 ? 'the machine does' : `${names.length} machines do`} not answer: what is on ${names.length === 1 ? 'it' : 'them'} is unknown`,
      ...(why ? { why } : {}),
      next: names.length === 1 ? `cluster ssh ${names[0]}` : 'see that the bastion runs and can reach them, then look again',
    };
  });
}

function unitFindings(host: string, units: ReadonlyMap<string, UnitFacts>): readonly Finding[] {
  return [...units].flatMap(([name, { active, waitsFor }]): readonly Finding[] => {
    if (runs(active)) return [];
    const unit = name.replace(/\.service$/, '');
    const why = waitsFor === undefined ? {} : { why: `it waits for ${waitsFor}` };
    const next = `cluster logs ${host} -u ${unit}; cluster up starts it again`;
    return [{ severity: 'error', check: 'machines.unit', where: host, what: `${unit} does not run (${active})`, ...why, next }];
  });
}
