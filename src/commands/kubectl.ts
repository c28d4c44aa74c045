import { SlipwayCommand } from '../cli/command.ts';

export default class Kubectl extends SlipwayCommand<typeof Kubectl> {
  static override summary = "kubectl of the cluster's own version, with credentials for this one command";
  static override description =
    'Where the API is behind the bastion, it goes through it, by a proxy on 127.0.0.1 that leads there only and ends with the command.';
  static override examples = [
    '<%= config.bin %> kubectl -- get nodes -o wide',
    '<%= config.bin %> kubectl -f prod.yaml -- logs -n kube-system deploy/coredns',
  ];
  static override strict = false;

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { kubectl } = await import('../lifecycle/kubectl.ts');
    const opened = await openCluster(this.opening());
    const code = await kubectl(opened, this.rest(), {
      env: this.env.variables,
      running: (child) => this.passSignals((name) => child.kill(name)),
      say: (text) => this.say(text),
    });
    this.exitWith(code);
  }
}
