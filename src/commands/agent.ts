import { SlipwayCommand } from '../cli/command.ts';

export default class Agent extends SlipwayCommand<typeof Agent> {
  static override summary = 'Let machines of pools join and leave (runs on masters, by slipway-agent.service)';
  static override hidden = true;
  static override examples = ['<%= config.bin %> agent'];

  async run(): Promise<void> {
    const { openAgent } = await import('../cli/open-agent.ts');
    const { env } = this.opening();
    await openAgent({ variables: env.variables, log: (line) => this.say(line), signal: this.signal });
  }
}
