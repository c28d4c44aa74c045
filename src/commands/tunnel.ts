import { Flags } from '@oclif/core';
import { SlipwayCommand } from '../cli/command.ts';

export default class Tunnel extends SlipwayCommand<typeof Tunnel> {
  static override summary = 'Keep a way to an API behind the bastion open, for all programs that use your kubeconfig';
  static override description =
    "An HTTP proxy on 127.0.0.1 that leads through the bastion to the cluster's API, and nowhere else. Its URL is printed, for a kubeconfig's proxy-url. Until Ctrl-C, then 0. A lost connection is made again by the next program that needs it.";
  static override examples = [
    '<%= config.bin %> tunnel',
    '<%= config.bin %> tunnel --port 6481 -f prod.yaml',
    '<%= config.bin %> kubeconfig --proxy-url http://127.0.0.1:6480',
  ];
  static override flags = {
    port: Flags.integer({ summary: 'Port on 127.0.0.1; 0 for any that is free', default: 6480, min: 0, max: 65535 }),
  };

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { tunnel } = await import('../lifecycle/tunnel.ts');
    const opened = await openCluster(this.opening());
    const failed = ({ message }: Error): void => this.say(message);
    await tunnel(opened, { port: this.flags.port, failed }, async ({ url, server, through }) => {
      this.line(url);
      this.say(`Open until Ctrl-C: ${server} through ${through}\nNext: cluster kubeconfig --proxy-url ${url}`);
      await this.untilInterrupted();
    });
  }
}
