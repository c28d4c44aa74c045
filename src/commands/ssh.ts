import { Args } from '@oclif/core';
import { SlipwayCommand } from '../cli/command.ts';

export default class Ssh extends SlipwayCommand<typeof Ssh> {
  static override summary = 'A shell, or one command, on a machine, through the bastion';
  static override examples = ['<%= config.bin %> ssh master-a', '<%= config.bin %> ssh etcd-b -- journalctl -u etcd -n 50'];
  static override strict = false;
  static override args = { machine: Args.string({ required: true, description: 'Name of the machine: master-a' }) };

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { shell } = await import('../lifecycle/shell.ts');
    const opened = await openCluster(this.opening());
    this.exitWith(await shell(opened, this.args.machine, this.rest(), process));
  }
}
