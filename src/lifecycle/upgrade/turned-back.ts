import { minorOf } from '../../assets/version-order.ts';
import { propsOf } from '../../host/design.ts';
import { addressOf } from '../../plan/resource.ts';
import type { Obstacle } from '../../rollout/rollout.ts';
import type { Session } from '../session.ts';
import type { Course } from './course.ts';

const apiUnit = 'kube-apiserver.service';

/**
 * Masters whose turn was cut once their API server had another version, and that the file would take back by a minor version: the record says only of a turn
 * that has come to its end how far it has led, and what was written meanwhile is there. The session is designed as things stand.
 */
export function turnedBack({ record, seen, design }: Session, { to }: Course): readonly Obstacle[] {
  const { hops = [], at = {}, turning = [] } = record?.rollout ?? {};
  return turning.flatMap((machine): readonly Obstacle[] => {
    const spec = design.topology.machines.find(({ name }) => name === machine);
    const bundle = design.bundles.get(spec?.bundle ?? '');
    const ahead = hops.slice(at[machine] ?? 0).find(({ moves }) => moves.includes('masters'))?.versions.kubernetes;
    if (spec?.role !== 'master' || !bundle || ahead === undefined || minorOf(ahead) <= minorOf(to.kubernetes)) return [];
    const found = seen.get(addressOf('host.bundle', machine));
    if (found?.state !== 'present' || unitIn(found.props) === propsOf(bundle).bundle.units[apiUnit]) return [];
    return [
      {
        severity: 'error',
        where: machine,
        what: `its API server is at ${ahead}, or on its way there, and Kubernetes does not go back from it to ${to.kubernetes}`,
        why: 'its turn was begun and not brought to its end; a newer minor version writes objects that an older one does not read',
        next: `set kubernetes.version to ${ahead} again, and run cluster upgrade; or restore a recovery point from before`,
      },
    ];
  });
}

const unitIn = (props: object): unknown => {
  const units: unknown = 'units' in props ? props.units : undefined;
  return typeof units === 'object' && units !== null ? Object.entries(units).find(([name]) => name === apiUnit)?.[1] : undefined;
};
