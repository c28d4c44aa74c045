import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand, yesFlag } from '../cli/command.ts';
import type { UpResult } from '../lifecycle/up.ts';
import { upView } from '../ui/up-view.ts';

export default class Up extends SlipwayCommand<typeof Up> {
  static override summary = 'Make the cluster what cluster.yaml says, where that interrupts nobody';
  static override description =
    'Creates, grows and heals. What would restart a serving etcd member or API server, drain a node or lose data is listed and left. Killed at any point, the same command goes on.';
  static override examples = [
    '<%= config.bin %> up',
    '<%= config.bin %> up --yes',
    '<%= config.bin %> up --plan plan.json --yes',
  ];
  static override flags = {
    output: outputFlag('human', 'json'),
    yes: yesFlag,
    plan: Flags.string({ summary: 'Carry out only this plan, saved by `plan --out`; anything else exits 75', helpValue: 'FILE' }),
    'allow-data-loss': Flags.boolean({ summary: 'Also carry out what destroys data' }),
    'lock-wait': Flags.integer({ summary: 'Seconds to wait while another command holds the lock', default: 0, min: 0 }),
  };

  async run(): Promise<UpResult> {
    const { openCluster } = await import('../cli/open.ts');
    const { readPlan } = await import('../lifecycle/plan.ts');
    const { up } = await import('../lifecycle/up.ts');
    const { planView } = await import('../ui/plan-view.ts');
    const saved = this.flags.plan === undefined ? undefined : await readPlan(this.flags.plan);
    const live = await this.live({ stream: true });
    const opened = await openCluster(this.opening(live.emit));
    await this.sayFindings(opened.findings);
    const result = await up(opened, {
      allowDataLoss: this.flags['allow-data-loss'],
      lockWaitMs: this.flags['lock-wait'] * 1000,
      ...(saved && { saved }),
      confirm: async (plan) => {
        if (!this.flags.yes && !saved) this.preview(planView, plan);
        await this.confirm(`Carry out these changes to ${opened.cluster.name}?`);
        return true;
      },
    });
    live.stop();
    return this.show(upView, result);
  }
}
