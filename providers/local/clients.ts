import type Docker from 'dockerode';
import type { MachineTemplate } from './template.ts';

/** What the types of this provider talk through. */
export interface LocalClients {
  readonly docker: Docker;
  /** The cluster's name: what its things are labelled with. */
  readonly cluster: string;
  /** The state directory: who of several users of one Docker made a thing. */
  readonly owner: string;
  /** Asset cache on this host: /opt/slipway of every machine. */
  readonly assets: string;
  readonly template: MachineTemplate;
  readonly host: HostFacts;
}

/** What this machine lets containers do. */
export interface HostFacts {
  readonly cgroupVersion: 1 | 2;
  /** False: CAP_SYS_RESOURCE is not ours to give (some virtual machines, containers); asking for it would fail every start. */
  readonly canGiveSysResource: boolean;
}
