import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand } from '../cli/command.ts';
import { exitCodes } from '../errors.ts';
import type { Plan as PlanData } from '../plan/plan.ts';
import { planView } from '../ui/plan-view.ts';

export default class Plan extends SlipwayCommand<typeof Plan> {
  static override summary = 'Show what would change, and why';
  static override description =
    'Looks at the world and changes nothing. With --detailed-exitcode: 0 nothing to do, 2 changes pending, 69 something could not be seen.';
  static override examples = [
    '<%= config.bin %> plan',
    '<%= config.bin %> plan --out plan.json --detailed-exitcode',
    '<%= config.bin %> plan -o markdown',
  ];
  static override flags = {
    output: outputFlag('human', 'json', 'markdown'),
    out: Flags.string({ summary: 'Save the plan, for `up --plan`', helpValue: 'FILE' }),
    'detailed-exitcode': Flags.boolean({ summary: 'Exit 2 when changes are pending, 69 when something could not be seen' }),
  };

  async run(): Promise<PlanData> {
    const { openCluster } = await import('../cli/open.ts');
    const { planCluster, savePlan, unseenOf } = await import('../lifecycle/plan.ts');
    const live = await this.live();
    const opened = await openCluster(this.opening(live.emit));
    await this.sayFindings(opened.findings);
    const plan = await planCluster(opened);
    live.stop();
    if (this.flags.out) await savePlan(plan, this.flags.out);
    if (this.flags['detailed-exitcode'])
      this.exitWith(
        unseenOf(plan).length > 0 ? exitCodes.unreachable : plan.changes.length > 0 ? exitCodes.changesPending : exitCodes.done,
      );
    return this.show(planView, plan);
  }
}
