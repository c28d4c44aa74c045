import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand, yesFlag } from '../cli/command.ts';
import { durationMs } from '../config/duration.ts';
import type { UpgradeResult } from '../rollout/result.ts';
import type { UpgradePlan } from '../rollout/upgrade-plan.ts';
import { rolloutView } from '../ui/rollout-view.ts';
import { upgradeView } from '../ui/upgrade-view.ts';

export default class Upgrade extends SlipwayCommand<typeof Upgrade> {
  static override summary =
    'Carry out what `up` leaves: versions, settings, new machines and removals, machine by machine, with nobody interrupted';
  static override description =
    'Goes through etcd, masters, addons and pools, one after the other, and looks after each machine whether all is well. Ctrl-C finishes the machine at hand; killed at any point, the same command goes on.';
  static override examples = [
    '<%= config.bin %> upgrade --dry-run',
    '<%= config.bin %> upgrade --to 1.36.3 --yes',
    '<%= config.bin %> upgrade --dry-run --out upgrade.json',
    '<%= config.bin %> upgrade --plan upgrade.json',
  ];
  static override flags = {
    output: outputFlag('human', 'json', 'markdown'),
    yes: yesFlag,
    'dry-run': Flags.boolean({ summary: 'Show what would be done, and change nothing', exclusive: ['plan', 'yes'] }),
    out: Flags.string({ summary: 'Save the dry run, for --plan', helpValue: 'FILE', dependsOn: ['dry-run'] }),
    plan: Flags.string({
      summary: 'Carry out only this dry run, or what remains of it; anything else exits 75',
      helpValue: 'FILE',
    }),
    'pause-after': Flags.option({
      options: ['masters', 'wave'] as const,
      summary: 'Stop, consistent, after the masters or after each wave; the same command goes on',
    })(),
    'force-after': Flags.string({
      summary: 'Delete pods that would not leave after this time, whatever their PodDisruptionBudget says: 10m',
      helpValue: 'DURATION',
    }),
    'allow-data-loss': Flags.boolean({ summary: 'Also carry out what destroys data' }),
    'lock-wait': Flags.integer({ summary: 'Seconds to wait while another command holds the lock', default: 0, min: 0 }),
  };
  protected override readonly finishesFirst = true;

  async run(): Promise<UpgradeResult | UpgradePlan> {
    const { openCluster } = await import('../cli/open.ts');
    const { planUpgrade, upgrade } = await import('../lifecycle/upgrade.ts');
    const { readUpgradePlan, savePlan } = await import('../lifecycle/plan.ts');
    const { flags } = this;
    const saved = flags.plan === undefined ? undefined : await readUpgradePlan(flags.plan);
    const live = await this.live({ stream: !flags['dry-run'] });
    const opened = await openCluster(this.opening(live.emit));
    await this.sayFindings(opened.findings);
    if (flags['dry-run']) {
      const plan = await planUpgrade(opened);
      live.stop();
      if (flags.out) await savePlan(plan, flags.out);
      return this.show(rolloutView, plan);
    }
    const result = await upgrade(opened, {
      allowDataLoss: flags['allow-data-loss'],
      lockWaitMs: flags['lock-wait'] * 1000,
      stopping: this.stopping,
      ...(saved && { saved }),
      ...(flags['pause-after'] && { pauseAfter: flags['pause-after'] }),
      ...(flags['force-after'] && { forceAfterMs: durationMs(flags['force-after']) }),
      confirm: async (plan) => {
        if (!flags.yes && !saved) this.preview(rolloutView, plan);
        await this.confirm(`Carry out this upgrade of ${opened.cluster.name}?`);
        return true;
      },
    });
    live.stop();
    return this.show(upgradeView, result);
  }
}
