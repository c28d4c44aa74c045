import { Flags } from '@oclif/core';
import { SlipwayCommand } from '../cli/command.ts';

export default class Kubeconfig extends SlipwayCommand<typeof Kubeconfig> {
  static override summary = 'Credentials for kubectl: merged into your kubeconfig, or printed';
  static override description =
    'The rest of your file stays as it is, comments too; a backup lies beside it. The file is that of --kubeconfig, else the first of $KUBECONFIG, else ~/.kube/config.';
  static override examples = ['<%= config.bin %> kubeconfig', '<%= config.bin %> kubeconfig --stdout > demo.kubeconfig'];
  static override flags = {
    stdout: Flags.boolean({ summary: 'Print it and touch no file', exclusive: ['kubeconfig'] }),
    kubeconfig: Flags.string({ summary: 'The file to merge into', helpValue: 'FILE' }),
    hours: Flags.integer({ summary: 'How long the credentials are valid', default: 24 * 30, min: 1 }),
    user: Flags.string({ summary: 'The name that the API server sees and audits; default: yours' }),
  };

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { makeKubeconfig } = await import('../lifecycle/kubeconfig.ts');
    const { writeMerged } = await import('../kube/kubeconfig.ts');
    const opened = await openCluster(this.opening());
    const text = await makeKubeconfig(opened, { user: this.flags.user ?? this.env.user, hours: this.flags.hours });
    if (this.flags.stdout) {
      this.line(text.trimEnd());
      return;
    }
    const { file, backup } = await writeMerged(this.flags.kubeconfig ?? this.env.kubeconfig, text);
    this.say(
      `Context ${opened.cluster.name} is in ${file} and is the current one${backup ? `; what was there before is in ${backup}` : ''}.\nNext: kubectl get nodes`,
    );
  }
}
