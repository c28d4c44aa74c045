import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import type { BackupResult } from '../../recovery/result.ts';
import { backupView } from '../../ui/backup-view.ts';

export default class Backup extends SlipwayCommand<typeof Backup> {
  static override summary = 'Take a recovery point now: snapshots of etcd, sealed secrets and records, in the store';
  static override description =
    'Interrupts nobody, and needs etcd only: no API server. What was cut on its way is never kept as a recovery point. As many are kept as backup.keep says. `cluster upgrade` takes one by itself.';
  static override examples = ['<%= config.bin %> backup', '<%= config.bin %> backup -o json --lock-wait 600'];
  static override flags = {
    output: outputFlag('human', 'json'),
    'lock-wait': Flags.integer({ summary: 'Seconds to wait while another command holds the lock', default: 0, min: 0 }),
  };

  async run(): Promise<BackupResult> {
    const { openCluster } = await import('../../cli/open.ts');
    const { backup } = await import('../../lifecycle/backup.ts');
    const live = await this.live();
    const opened = await openCluster(this.opening(live.emit));
    await this.sayFindings(opened.findings);
    const result = await backup(opened, { lockWaitMs: this.flags['lock-wait'] * 1000 });
    live.stop();
    return this.show(backupView, result);
  }
}
