import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand } from '../cli/command.ts';
import type { Status as StatusData } from '../health/status.ts';
import { statusView } from '../ui/status-view.ts';

export default class Status extends SlipwayCommand<typeof Status> {
  static override summary = 'How the cluster is: machines, nodes, etcd, versions, certificates, drift';
  static override description =
    'Looks and changes nothing. Exits 0 when all is well, 1 when something is wrong, 69 when something could not be seen. With --watch: until Ctrl-C, then 0.';
  static override examples = [
    '<%= config.bin %> status',
    '<%= config.bin %> status -o json',
    '<%= config.bin %> status --watch --interval 2',
  ];
  static override flags = {
    output: outputFlag('human', 'json'),
    watch: Flags.boolean({ char: 'w', summary: 'Look again and again, until Ctrl-C; with -o json one line a look' }),
    interval: Flags.integer({ summary: 'Seconds between two looks of --watch', default: 5, min: 1, max: 3600 }),
  };

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { exitCodeOf, readStatus } = await import('../lifecycle/status.ts');
    const look = async (): Promise<StatusData> => readStatus(await openCluster(this.opening()));
    if (this.flags.watch) return this.watch(statusView, look, this.flags.interval * 1000);
    const status = await look();
    this.exitWith(exitCodeOf(status));
    this.show(statusView, status);
  }
}
