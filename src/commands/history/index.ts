import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import type { RunSummary } from '../../run/journal.ts';
import { historyView } from '../../ui/history-view.ts';

export default class History extends SlipwayCommand<typeof History> {
  static override summary = 'List the runs of this cluster, newest first';
  static override examples = ['<%= config.bin %> history', '<%= config.bin %> history -o json'];
  static override flags = { output: outputFlag('human', 'json') };

  async run(): Promise<readonly RunSummary[]> {
    const { openRecords } = await import('../../cli/records.ts');
    const { listRuns } = await import('../../run/journal.ts');
    const { store } = await openRecords(this.opening());
    return this.show(historyView, store ? await listRuns(store) : []);
  }
}
