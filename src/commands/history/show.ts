import { Args, Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand } from '../../cli/command.ts';
import type { RunRecord } from '../../run/journal.ts';
import { runView } from '../../ui/history-view.ts';

export default class HistoryShow extends SlipwayCommand<typeof HistoryShow> {
  static override summary = 'Show the steps of a run, how long each took, and what failed';
  static override examples = [
    '<%= config.bin %> history show',
    '<%= config.bin %> history show 20261121T031906123Z-7f3a2b',
    '<%= config.bin %> history show --html timeline.html',
  ];
  static override args = { run: Args.string({ description: 'The run, or how its ID begins; without it the newest' }) };
  static override flags = {
    output: outputFlag('human', 'json'),
    html: Flags.string({ summary: 'Also write the timeline as one HTML file that needs nothing else', helpValue: 'FILE' }),
  };

  async run(): Promise<RunRecord> {
    const { findRun, saveTimeline } = await import('../../cli/history.ts');
    const { openRecords } = await import('../../cli/records.ts');
    const { store } = await openRecords(this.opening());
    const run = await findRun(store, this.args.run);
    if (this.flags.html !== undefined) await saveTimeline(run, this.flags.html);
    return this.show(runView, run);
  }
}
