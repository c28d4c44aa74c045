import { Flags } from '@oclif/core';
import { SlipwayCommand } from '../cli/command.ts';

export default class Logs extends SlipwayCommand<typeof Logs> {
  static override summary = 'Journals of machines or roles';
  static override examples = [
    '<%= config.bin %> logs masters -u kube-apiserver --since -10min',
    '<%= config.bin %> logs etcd-a -u etcd --follow',
    '<%= config.bin %> logs --tarball logs.tar.gz',
  ];
  static override strict = false;
  static override flags = {
    unit: Flags.string({ char: 'u', summary: 'Only this systemd unit', multiple: true }),
    since: Flags.string({ summary: 'From then on, as journalctl takes it: -10min, "2026-11-21 03:00"' }),
    lines: Flags.integer({ char: 'n', summary: 'So many last lines of each machine, without --since', default: 50, min: 0 }),
    follow: Flags.boolean({ summary: 'Go on showing new lines, until Ctrl-C' }),
    tarball: Flags.string({
      summary: 'Write them to a .tar.gz instead, one file a machine',
      helpValue: 'FILE',
      exclusive: ['follow'],
    }),
  };

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { logs, logsTarball } = await import('../lifecycle/logs.ts');
    const { unit, since, lines, follow, tarball } = this.flags;
    const opened = await openCluster(this.opening());
    const options = { targets: this.rest(), units: unit ?? [], since, lines, follow };
    if (tarball !== undefined) this.say(`Wrote ${tarball}: ${(await logsTarball(opened, options, tarball)).join(', ')}`);
    else await logs(opened, options, ({ host, line }) => this.line(`${host}  ${line}`));
  }
}
