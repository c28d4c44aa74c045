import { join } from 'node:path';
import { Flags } from '@oclif/core';
import { outputFlag, SlipwayCommand } from '../cli/command.ts';
import { type Asker, collectAnswers, providerNames } from '../config/init-answers.ts';
import { writeInit } from '../config/init-file.ts';
import { askOne, askText } from '../ui/prompt.ts';
import type { View } from '../ui/view.ts';

interface Written {
  readonly file: string;
  readonly text: string;
}
const writtenView: View<Written> = {
  human: ({ file }) => `Wrote ${file}\nNext: cluster validate -f ${file}, then cluster plan -f ${file}`,
};

export default class Init extends SlipwayCommand<typeof Init> {
  static override summary = 'Write a commented cluster.yaml';
  static override description =
    'Asks on a terminal for what the flags do not say; elsewhere takes the defaults. Never replaces a file without --force.';
  static override examples = [
    '<%= config.bin %> init',
    '<%= config.bin %> init --name demo --provider local',
    '<%= config.bin %> init --name prod --provider aws --zones eu-central-1a,eu-central-1b,eu-central-1c --ssh-from 203.0.113.0/24 -f prod.yaml',
  ];
  static override flags = {
    output: outputFlag('human', 'json'),
    file: Flags.string({
      char: 'f',
      aliases: ['out'],
      summary: 'Where to write it',
      default: './cluster.yaml',
      helpValue: 'FILE',
    }),
    name: Flags.string({ summary: 'Name of the cluster', helpValue: 'NAME' }),
    provider: Flags.string({ summary: 'Where the machines run (default: local)', options: [...providerNames] }),
    zones: Flags.string({ summary: 'Zones, with commas (local: a,b,c)', helpValue: 'A,B,C' }),
    project: Flags.string({ summary: 'Project of Google Cloud', helpValue: 'ID' }),
    'ssh-from': Flags.string({ summary: 'From where SSH may reach the bastion (clouds), with commas', helpValue: 'CIDR,CIDR' }),
    masters: Flags.integer({ summary: 'Masters (default: 3)', min: 1, max: 16 }),
    etcd: Flags.integer({ summary: 'etcd members (default: 3)', min: 1, max: 9 }),
    workers: Flags.integer({ summary: 'Workers (default: 3)', min: 0, max: 5000 }),
    version: Flags.string({ summary: 'Version of Kubernetes (default: the newest known)', helpValue: 'X.Y.Z' }),
    force: Flags.boolean({ summary: 'Replace the file if it is there' }),
  };

  async run(): Promise<Written> {
    const answers = await collectAnswers(this.flags, this.env.isTTY ? this.asker() : undefined);
    const written = await writeInit(answers, {
      file: this.flags.file,
      cwd: this.env.cwd,
      force: this.flags.force,
      schema: join(this.config.root, 'schema', 'cluster.schema.json'),
      packageRoot: this.config.root,
    });
    return this.show(writtenView, written);
  }

  private asker(): Asker {
    const asking = { signal: this.signal };
    return {
      text: (message, options) => askText(message, asking, options),
      one: (message, choices, byDefault) => askOne(message, choices, asking, byDefault),
    };
  }
}
