import { outputFlag, SlipwayCommand } from '../cli/command.ts';
import { ConfigError, loadCluster } from '../config/load.ts';
import { exitCodes } from '../errors.ts';
import { type Findings, findingsView } from '../ui/findings-view.ts';

export default class Validate extends SlipwayCommand<typeof Validate> {
  static override summary = 'Check cluster.yaml, offline: every error with file:line:column';
  static override description = 'Exits 0 when the file is valid, also with warnings, and 65 when it is not.';
  static override examples = ['<%= config.bin %> validate', '<%= config.bin %> validate -f clusters/prod.yaml -o json'];
  static override flags = { output: outputFlag('human', 'json', 'markdown') };

  async run(): Promise<Findings> {
    const subject = this.flags.file;
    try {
      const { findings } = await loadCluster(subject);
      return this.show(findingsView, { subject, findings });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.exitWith(exitCodes.config);
      return this.show(findingsView, { subject, findings: error.findings });
    }
  }
}
