import { outputFlag, SlipwayCommand } from '../cli/command.ts';
import { exitCodes } from '../errors.ts';
import { type Findings, findingsView } from '../ui/findings-view.ts';

export default class Preflight extends SlipwayCommand<typeof Preflight> {
  static override summary = 'Everything that would make `up` fail, all findings at once';
  static override examples = ['<%= config.bin %> preflight', '<%= config.bin %> preflight -o json'];
  static override flags = { output: outputFlag('human', 'json') };

  async run(): Promise<Findings> {
    const { openCluster } = await import('../cli/open.ts');
    const { preflight } = await import('../lifecycle/preflight.ts');
    const live = await this.live();
    const opened = await openCluster(this.opening(live.emit));
    const { findings } = await preflight(opened, opened.findings);
    live.stop();
    if (findings.some((finding) => finding.severity === 'error')) this.exitWith(exitCodes.failed);
    return this.show(findingsView, { subject: opened.cluster.name, findings });
  }
}
