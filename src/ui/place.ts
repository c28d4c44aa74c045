import { type Address, nameOf, typeOf } from '../plan/resource.ts';

/** Where a resource lies, for grouping. The bastion has a role and no zone of its own. */
export interface Place {
  readonly zone: string | undefined;
  readonly role: string;
}
/** undefined: it belongs to the whole cluster. */
export type PlaceOf = (address: Address) => Place | undefined;

interface Located {
  readonly name: string;
  readonly role: string;
  readonly zone: string;
}

/** By the machines of the topology: exact. */
export const placesOf = (machines: readonly Located[]): PlaceOf => {
  const places = new Map(machines.map(({ name, role, zone }) => [name, { role, zone: role === 'bastion' ? undefined : zone }]));
  return (address) =>
    segments(address)
      .map((segment) => places.get(segment))
      .find((place) => place !== undefined);
};

/** By the names that the design gives: `etcd-a`, `master-b-2`, `workers-c-1`. For a plan read from a file, without its topology. */
export const placeByName: PlaceOf = (address) => {
  for (const segment of segments(address)) {
    if (segment === 'bastion') return { role: 'bastion', zone: undefined };
    const fixed = /^(etcd|master)-(.+?)(?:-\d+)?$/.exec(segment);
    if (fixed?.[1] && fixed[2]) return { role: fixed[1], zone: fixed[2] };
    const worker = /^.+?-([a-z0-9]+)-\d+$/.exec(segment);
    if (worker?.[1]) return { role: 'worker', zone: worker[1] };
    const [, zone] = ofZone.exec(segment) ?? [];
    if (zone !== undefined) return { role: typeOf(address).endsWith('.pool') ? 'worker' : 'network', zone };
  }
  return undefined;
};

/** What a cloud has once a zone: `private-eu-central-1a`, a pool's group `web-eu-central-1a`. */
const ofZone = /^(?:.+-)?([a-z]{2}(?:-[a-z]+)+-\d[a-z])$/;

/** Types whose names are not machines': the authority `etcd-peer` lies in no zone called peer. */
const clusterWide = ['pki.authority', 'secret', 'kube.addon', 'etcd.cluster'];
const segments = (address: Address): readonly string[] =>
  clusterWide.includes(typeOf(address)) ? [] : nameOf(address).split('.');
