import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand, yesFlag } from '../cli/command.ts';
import { durationMs } from '../config/duration.ts';
import { exitCodes, UserError } from '../errors.ts';
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
    '<%= config.bin %> upgrade --dry-run --detailed-exitcode',
    '<%= config.bin %> upgrade --plan upgrade.json',
  ];
  static override flags = {
    output: outputFlag('human', 'json', 'markdown'),
    yes: yesFlag,
    to: Flags.string({
      summary: 'Set kubernetes.version in cluster.yaml first, keeping its comments; with --dry-run as if it were set',
      helpValue: 'VERSION',
    }),
    'dry-run': Flags.boolean({
      summary: 'Show what would be done, and change nothing',
      exclusive: ['plan', 'yes', 'pause-after'],
    }),
    out: Flags.string({ summary: 'Save the dry run, for --plan', helpValue: 'FILE', dependsOn: ['dry-run'] }),
    'detailed-exitcode': Flags.boolean({
      summary:
        'Exit of the dry run: 0 nothing to do, 2 something to do and nothing in the way, 1 something is in the way, 69 something could not be seen',
      dependsOn: ['dry-run'],
    }),
    plan: Flags.string({
      summary: 'Carry out only this dry run, or what remains of it; anything else exits 75',
      helpValue: 'FILE',
    }),
    only: Flags.string({
      summary: 'Carry out this part only, where the version skew policy lets it go alone: pool=NAME, role=masters, zone=a',
      helpValue: 'PART',
    }),
    'pause-after': Flags.option({
      options: ['masters', 'wave'] as const,
      summary: 'Stop, consistent, after the masters or after each wave; the same command goes on',
    })(),
    abort: Flags.boolean({
      summary:
        'Give up an upgrade that was stopped: uncordon its nodes, and leave machines at the versions that they have reached',
      exclusive: ['to', 'dry-run', 'plan', 'only', 'pause-after'],
    }),
    'force-after': Flags.string({
      summary: 'Delete pods that would not leave after this time, whatever their PodDisruptionBudget says: 10m',
      helpValue: 'DURATION',
    }),
    'skip-recovery-point': Flags.boolean({
      summary: 'Take no recovery point before etcd or a master is touched, and need none: you have backups of your own',
      exclusive: ['abort'],
    }),
    'allow-data-loss': Flags.boolean({ summary: 'Also carry out what destroys data' }),
    'lock-wait': Flags.integer({ summary: 'Seconds to wait while another command holds the lock', default: 0, min: 0 }),
  };
  protected override readonly finishesFirst = true;

  async run(): Promise<UpgradeResult | UpgradePlan> {
    const { openCluster } = await import('../cli/open.ts');
    const { abortUpgrade, planUpgrade, upgrade } = await import('../lifecycle/upgrade.ts');
    const { readUpgradePlan, savePlan } = await import('../lifecycle/plan.ts');
    const { setVersion } = await import('../config/edit.ts');
    const { writeVersion } = await import('../config/edit-file.ts');
    const { parseOnly } = await import('../rollout/only.ts');
    const { exitCodeOf, exitCodeOfDryRun } = await import('../rollout/result.ts');
    const { flags } = this;
    const { to } = flags;
    const saved = flags.plan === undefined ? undefined : await readUpgradePlan(flags.plan);
    const forceAfterMs = flags['force-after'] === undefined ? undefined : durationOf(flags['force-after']);
    const live = await this.live({ stream: !flags['dry-run'] });
    const opening = this.opening(live.emit);
    const opened = await openCluster({
      ...opening,
      ...(to !== undefined && { edit: (text) => setVersion(text, to, opening.file) }),
    });
    await this.sayFindings(opened.findings);
    const lockWaitMs = flags['lock-wait'] * 1000;
    const { pools, zones } = opened.cluster;
    const only = flags.only === undefined ? undefined : parseOnly(flags.only, { pools: pools.map(({ name }) => name), zones });
    const ways = {
      ...(forceAfterMs !== undefined && { forceAfterMs }),
      skipRecoveryPoint: flags['skip-recovery-point'],
      allowDataLoss: flags['allow-data-loss'],
      ...(only && { only }),
    };
    if (flags['dry-run']) {
      const plan = await planUpgrade(opened, ways);
      live.stop();
      if (flags.out) await savePlan(plan, flags.out);
      if (flags['detailed-exitcode']) this.exitWith(exitCodeOfDryRun(plan));
      return this.show(rolloutView, plan);
    }
    if (flags.abort) {
      const aborted = await abortUpgrade(opened, { lockWaitMs });
      live.stop();
      return this.show(upgradeView, aborted);
    }
    const result = await upgrade(opened, {
      lockWaitMs,
      stopping: this.stopping,
      ...(saved && { saved }),
      ...(flags['pause-after'] && { pauseAfter: flags['pause-after'] }),
      ...ways,
      asks: this.env.isTTY && !flags.yes,
      confirm: async (plan) => {
        if (!flags.yes && !saved) this.preview(rolloutView, plan);
        return this.agrees(`Carry out this upgrade of ${opened.cluster.name}?`);
      },
      agreed: async () => to !== undefined && writeVersion(opening.file, to),
    });
    live.stop();
    this.exitWith(exitCodeOf(result, this.stopping.aborted));
    return this.show(upgradeView, result);
  }
}

function durationOf(text: string): number {
  if (/^(\d+(ms|s|m|h))+$/.test(text)) return durationMs(text);
  throw new UserError(
    { what: `--force-after ${text}: a duration such as 90s, 5m or 1h30m`, next: '--force-after 10m' },
    exitCodes.usage,
  );
}
