import { render } from './template.ts';

/** systemd's sandbox for a program that needs its ports, its files and nothing else of the machine. */
export const sandbox = (capabilities: readonly string[] = []): string =>
  render('units/sandbox.conf', { capabilities: capabilities.join(' ') }).trimEnd();
