import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import type { BackupList as Listed } from '../../recovery/result.ts';
import { backupListView } from '../../ui/backup-view.ts';

export default class BackupList extends SlipwayCommand<typeof BackupList> {
  static override summary = 'List the recovery points of this cluster, newest first';
  static override examples = ['<%= config.bin %> backup list', '<%= config.bin %> backup list -o json'];
  static override flags = { output: outputFlag('human', 'json') };

  async run(): Promise<Listed> {
    const { openCluster } = await import('../../cli/open.ts');
    const { listBackups } = await import('../../lifecycle/backup.ts');
    return this.show(backupListView, await listBackups(await openCluster(this.opening())));
  }
}
