import { outputFlag, SlipwayCommand, yesFlag } from '../cli/command.ts';
import { lockView, type Unlocked, unlockView } from '../ui/unlock-view.ts';

export default class Unlock extends SlipwayCommand<typeof Unlock> {
  static override summary = 'Show who holds the lock, and release it';
  static override description =
    'Seldom needed: the lock of a command that died is taken over by the next one. A holder that lives notices and stops its steps.';
  static override examples = ['<%= config.bin %> unlock', '<%= config.bin %> unlock --yes'];
  static override flags = { output: outputFlag('human', 'json'), yes: yesFlag };

  async run(): Promise<Unlocked> {
    const { openRecords } = await import('../cli/records.ts');
    const { breakLock, readLock } = await import('../run/lock.ts');
    const { cluster, store } = await openRecords(this.opening());
    const seen = store && (await readLock(store));
    if (!store || seen?.record.state !== 'held')
      return this.show(unlockView, { cluster, outcome: 'was not locked', lock: undefined });
    const { whereabouts } = await import('../run/processes.ts');
    const { process: holder } = seen.record;
    this.preview(lockView, { lock: seen.record, process: holder ? await whereabouts(holder) : 'elsewhere' });
    await this.confirm('Release this lock?');
    await breakLock(store, seen);
    return this.show(unlockView, { cluster, outcome: 'unlocked', lock: seen.record });
  }
}
