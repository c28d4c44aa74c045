import { exitCodes } from '../src/errors.ts';
import type { readCommands } from './commands.ts';

type Manifest = Awaited<ReturnType<typeof readCommands>>;
type Cached = Manifest['commands'][string];
type CachedFlag = Cached['flags'][string];

const meaning: Readonly<Record<keyof typeof exitCodes, string>> = {
  done: 'Done. For `plan --detailed-exitcode`: nothing to do',
  failed: 'Failed, or partly applied: the message names the run and how to go on',
  changesPending: 'Changes are pending (`plan --detailed-exitcode`)',
  usage: 'Wrong usage: a flag, an argument, or an answer that is needed and nobody is there to give',
  config: 'cluster.yaml is wrong: file:line:column, what was found, what is allowed',
  unreachable: 'Something exists and could not be reached, so nothing is known of it',
  bug: 'A bug in slipway',
  lockedOrStale: 'Somebody else holds the lock, or the saved plan is stale: try again later, or plan again',
  credentials: 'Credentials are missing or refused',
  interrupted: 'Interrupted (Ctrl-C, SIGTERM): the same command goes on',
};

/** docs/commands.md: every command with its arguments, flags and examples, and what the exit codes mean. */
export const renderCommandReference = (manifest: Manifest): string => {
  const commands = Object.values(manifest.commands)
    .filter((command) => !command.hidden)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const shared = sharedFlags(commands);
  const parts = [
    '# Commands',
    'Every command of `cluster`. Generated from `src/commands/` (`npm run generate`): change that, not this page.',
    table(
      ['Command', ''],
      commands.map((command) => [
        `[\`cluster ${words(command)}\`](#cluster-${words(command).replaceAll(' ', '-')})`,
        command.summary ?? '',
      ]),
    ),
    '## Flags of all commands',
    flagTable(shared),
    'Results go to stdout, progress and errors to stderr. With `-o json` an error is one line of JSON on stderr; commands that change something print their events on stdout, one line of JSON each, and their result as the last line.',
    'Completion in bash, zsh and PowerShell: `cluster autocomplete` says how.',
    '## Exit codes',
    table(
      ['Code', 'Meaning'],
      Object.entries(exitCodes).map(([name, code]) => [`${code}`, meaningOf(name)]),
    ),
    ...commands.map((command) => section(command, new Set(shared.map(({ name }) => name)))),
  ];
  return `${parts.join('\n\n')}\n`;
};

const meaningOf = (name: string): string => Object.entries(meaning).find(([key]) => key === name)?.[1] ?? '';

const words = (command: Cached): string => command.id.replaceAll(':', ' ');

/** Flags that every command has, the same way. */
const sharedFlags = (commands: readonly Cached[]): readonly CachedFlag[] => {
  const [first, ...rest] = commands;
  return Object.values(first?.flags ?? {}).filter(({ name }) =>
    rest.every(({ flags }) => JSON.stringify(flags[name]) === JSON.stringify(first?.flags[name])),
  );
};

const section = (command: Cached, shared: ReadonlySet<string>): string => {
  const flags = Object.values(command.flags).filter((flag) => !shared.has(flag.name) && !flag.hidden);
  const args = Object.values(command.args).filter((arg) => !arg.hidden);
  const usage = [
    'cluster',
    words(command),
    ...args.map(({ name, required }) => (required ? name.toUpperCase() : `[${name.toUpperCase()}]`)),
  ];
  const examples = (command.examples ?? []).map((example) =>
    typeof example === 'string' ? example : `# ${example.description}\n${example.command}`,
  );
  return [
    `## cluster ${words(command)}`,
    `${command.summary ?? ''}.`,
    command.description && command.description !== command.summary ? command.description : '',
    code(
      `${usage.join(' ')}${flags.length > 0 || shared.size > 0 ? ' [FLAGS]' : ''}${command.strict === false ? ' -- [COMMAND...]' : ''}`,
    ),
    args.length > 0
      ? table(
          ['Argument', ''],
          args.map(({ name, description }) => [`\`${name.toUpperCase()}\``, description ?? '']),
        )
      : '',
    flags.length > 0 ? flagTable(flags) : '',
    examples.length > 0
      ? code(examples.join('\n').replaceAll('<%= config.bin %>', 'cluster').replaceAll('<%= command.id %>', words(command)))
      : '',
  ]
    .filter(Boolean)
    .join('\n\n');
};

const flagTable = (flags: readonly CachedFlag[]): string =>
  table(
    ['Flag', 'Default', ''],
    flags
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map((flag) => [flagUsage(flag), defaultText(flag), flag.summary ?? flag.description ?? '']),
  );

const flagUsage = (flag: CachedFlag): string => {
  const value = flag.type === 'option' ? `=${flag.options?.join('|') ?? placeholderOf(flag)}` : '';
  const many = flag.type === 'option' && flag.multiple ? '...' : '';
  return `${flag.char ? `\`-${flag.char}\`, ` : ''}\`--${flag.type === 'boolean' && flag.allowNo ? '[no-]' : ''}${flag.name}${value}${many}\``;
};
const placeholderOf = (flag: CachedFlag): string => {
  const value: unknown = 'helpValue' in flag ? flag.helpValue : undefined;
  return typeof value === 'string' ? value : 'VALUE';
};
const defaultText = (flag: CachedFlag): string =>
  flag.type === 'option' && flag.default !== undefined ? `\`${String(flag.default)}\`` : flag.required ? 'required' : '';

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`)
    .join('\n');
const code = (text: string): string => `\`\`\`sh\n${text}\n\`\`\``;
