import { setTimeout } from 'node:timers/promises';
import { acquireLock } from '../../../src/run/lock.ts';
import { directoryStore } from '../../../src/store/directory.ts';

/** Run as a process of its own by lock.test.ts: holds the lock until it is killed. */
await acquireLock(directoryStore(process.argv[2] ?? ''), {
  holder: 'anna',
  host: 'here',
  purpose: 'cluster up',
  command: 'cluster up',
});
process.stdout.write('held\n');
await setTimeout(60_000);
