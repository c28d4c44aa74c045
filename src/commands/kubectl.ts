import { SlipwayCommand } from '../cli/command.ts';

export default class Kubectl extends SlipwayCommand<typeof Kubectl> {
  static override summary = "kubectl of the cluster's own version, with credentials for this one command";
  static override examples = [
    '<%= config.bin %> kubectl -- get nodes -o wide',
    '<%= config.bin %> kubectl -f prod.yaml -- logs -n kube-system deploy/coredns',
  ];
  static override strict = false;

  async run(): Promise<void> {
    const { openCluster } = await import('../cli/open.ts');
    const { kubectl } = await import('../lifecycle/kubeconfig.ts');
    const opened = await openCluster(this.opening());
    this.passSignals();
    this.exitWith(await kubectl(opened, this.rest(), this.env.variables));
  }
}
