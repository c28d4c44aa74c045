import { image } from './image.ts';
import { launchTemplate } from './launch-template.ts';
import { machine } from './machine.ts';
import { networkInterface } from './network-interface.ts';
import { pool } from './pool.ts';
import { role } from './role.ts';
import { spareVolume, volume } from './volume.ts';

/** The types of design-machines.ts. */
export const machineTypes = [image, role, volume, spareVolume, networkInterface, machine, launchTemplate, pool] as const;
