import { asset, type Versions } from '../assets/catalogue.ts';

/** Where an asset lies on a host. Versioned: an upgrade changes the path, and so the unit. */
export const installed = (name: string, versions: Versions): string => `/opt/slipway/${asset(name, versions).path}`;
export const installedDirectory = (name: string, versions: Versions): string => installed(name, versions).replace(/\/[^/]+$/, '');
export const assets = (names: readonly string[], versions: Versions) => names.map((name) => asset(name, versions));
