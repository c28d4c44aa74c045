import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand, yesFlag } from '../cli/command.ts';
import type { DownResult } from '../lifecycle/down.ts';
import { downView } from '../ui/down-view.ts';

export default class Down extends SlipwayCommand<typeof Down> {
  static override summary = 'Delete the cluster: its machines, balancer and network';
  static override description =
    'Shows all that goes and asks for the name. Volumes, secrets and recovery points stay, unless --allow-data-loss is given too.';
  static override examples = ['<%= config.bin %> down', '<%= config.bin %> down --yes --allow-data-loss'];
  static override flags = {
    output: outputFlag('human', 'json'),
    yes: yesFlag,
    'allow-data-loss': Flags.boolean({
      summary: 'Also delete volumes, secrets, records and recovery points: nothing can bring the cluster back then',
    }),
    'lock-wait': Flags.integer({ summary: 'Seconds to wait while another command holds the lock', default: 0, min: 0 }),
  };

  async run(): Promise<DownResult> {
    const { openCluster } = await import('../cli/open.ts');
    const { down } = await import('../lifecycle/down.ts');
    const { planView } = await import('../ui/plan-view.ts');
    const live = await this.live({ stream: true });
    const opened = await openCluster(this.opening(live.emit));
    const result = await down(opened, {
      allowDataLoss: this.flags['allow-data-loss'],
      lockWaitMs: this.flags['lock-wait'] * 1000,
      confirm: async (plan) => {
        if (!this.flags.yes) this.preview(planView, plan);
        await this.confirm(
          `This deletes cluster ${opened.cluster.name}${this.flags['allow-data-loss'] ? ' with all its data' : ''}.`,
          { name: opened.cluster.name },
        );
        return true;
      },
    });
    live.stop();
    return this.show(downView, result);
  }
}
