import { setTimeout as sleep } from 'node:timers/promises';
import { Args, Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand, yesFlag } from '../../../src/cli/command.ts';
import { exitCodes, UserError } from '../../../src/errors.ts';

// A command for the tests of the base class, run as a process of its own: signals, exit codes and streams are real.
class Probe extends SlipwayCommand<typeof Probe> {
  static override strict = false;
  static override args = { do: Args.string({ required: true }) };
  static override flags = { output: outputFlag('human', 'json', 'markdown'), yes: yesFlag, number: Flags.integer() };

  async run(): Promise<unknown> {
    switch (this.args.do) {
      case 'user-error':
        throw new UserError(
          { what: 'the lock is held', where: 'demo', why: 'by alice\nsince noon', next: 'cluster unlock' },
          exitCodes.lockedOrStale,
        );
      case 'bug':
        throw new TypeError('undefined is not a cluster');
      case 'words':
        return this.show({ human: (data) => JSON.stringify(data) }, this.rest());
      case 'enoent':
        return (await import('node:fs/promises')).readFile('/nonexistent/file');
      case 'crash':
        setTimeout(() => {
          throw new Error('thrown from a timer');
        }, 1);
        return sleep(5000);
      case 'wait':
        process.stderr.write('waiting\n');
        return sleep(20_000, undefined, { signal: this.signal });
      case 'deaf':
        process.stderr.write('waiting\n');
        return sleep(20_000);
      case 'confirm':
        await this.confirm('Delete everything?');
        return this.say('confirmed');
      case 'confirm-there':
      case 'agrees-there': {
        this.env = { ...this.env, isTTY: true };
        if (this.args.do === 'confirm-there') return this.confirm('Delete everything?');
        return this.show({ human: (data) => `agrees: ${data}` }, await this.agrees('Go on?'));
      }
      case 'flood':
        for (let i = 0; i < 20_000; i++) process.stdout.write(`line ${i}\n`);
        return this.say('went on');
      case 'live': {
        const { emit, stop } = await this.live({ stream: true });
        emit({ type: 'started', task: 'a', title: 'create a' });
        emit({ type: 'done', task: 'a' });
        stop();
        return this.show({ human: (data) => `result ${data.answer}` }, { answer: 42 });
      }
      default:
        return this.show(
          { human: (data, { style }) => style.green(`file ${data.file}`), markdown: (data) => `**${data.file}**` },
          { file: this.flags.file, number: this.flags.number ?? null },
        );
    }
  }
}
await Probe.run(process.argv.slice(2), { root: process.cwd() });
