import { Flags } from '@oclif/core';
import { SlipwayCommand } from '../cli/command.ts';

export default class Kubeconfig extends SlipwayCommand<typeof Kubeconfig> {
  static override summary = 'Credentials for kubectl: merged into your kubeconfig, or printed';
  static override description =
    'The rest of your file stays as it is, comments too; a backup lies beside it. The file is that of --kubeconfig, else the first of $KUBECONFIG, else ~/.kube/config.';
  static override examples = [
    '<%= config.bin %> kubeconfig',
    '<%= config.bin %> kubeconfig --stdout > demo.kubeconfig',
    '<%= config.bin %> kubeconfig --proxy-url http://127.0.0.1:6480',
  ];
  static override flags = {
    stdout: Flags.boolean({ summary: 'Print it and touch no file', exclusive: ['kubeconfig'] }),
    kubeconfig: Flags.string({ summary: 'The file to merge into', helpValue: 'FILE' }),
    hours: Flags.integer({ summary: 'How long the credentials are valid', default: 24 * 30, min: 1 }),
    user: Flags.string({ summary: 'The name that the API server sees and audits; default: yours' }),
    'proxy-url': Flags.string({
      summary: 'What kubectl is to connect through: the URL of `cluster tunnel`, or your own proxy',
      helpValue: 'URL',
    }),
  };

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { makeKubeconfig } = await import('../lifecycle/kubeconfig.ts');
    const { writeMerged } = await import('../kube/kubeconfig.ts');
    const opened = await openCluster(this.opening());
    const { user = this.env.user, hours, 'proxy-url': proxyUrl } = this.flags;
    const { text, next } = await makeKubeconfig(opened, { user, hours, proxyUrl });
    if (this.flags.stdout) {
      this.line(text.trimEnd());
      this.say(next);
      return;
    }
    const { file, backup } = await writeMerged(this.flags.kubeconfig ?? this.env.kubeconfig, text);
    this.say(
      `Context ${opened.cluster.name} is in ${file} and is the current one${backup ? `; what was there before is in ${backup}` : ''}.\n${next}`,
    );
  }
}
