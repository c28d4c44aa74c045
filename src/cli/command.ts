import { once } from 'node:events';
import { Command, Flags, type Interfaces } from '@oclif/core';
import type { Finding } from '../config/finding.ts';
import { exitCodes, UserError } from '../errors.ts';
import type { Emit, Event } from '../run/events.ts';
import { problemJson, problemText } from '../ui/error-view.ts';
import type { LiveView } from '../ui/live-text.ts';
import { type Look, makeStyle, wantsColour } from '../ui/style.ts';
import { type Format, render, type View } from '../ui/view.ts';
import { type Environment, readEnvironment } from './env.ts';
import { type Outcome, outcomeOf } from './exit.ts';
import type { OpenInput } from './open.ts';
import { catchSignals, type Interrupt } from './signals.ts';

/** `-o`, with the formats that the command's view has. */
export const outputFlag = (...formats: readonly [Format, ...Format[]]) =>
  Flags.option({
    char: 'o',
    options: formats,
    default: formats[0],
    summary: 'Format of the result on stdout',
    helpGroup: 'GLOBAL',
  })();
/** For commands that ask before they change something. */
export const yesFlag = Flags.boolean({ char: 'y', summary: 'Do not ask: the answer is yes', helpGroup: 'GLOBAL' });

type FlagsOf<T extends typeof Command> = Interfaces.InferredFlags<
  Omit<(typeof SlipwayCommand)['baseFlags'], keyof T['flags']> & T['flags']
>;
type ArgsOf<T extends typeof Command> = Interfaces.InferredArgs<T['args']>;

/**
 * What all commands share: flags, surroundings, signals, and how results and errors are shown. A command says its flags, makes one call, and
 * shows one view. Data go to stdout, everything else to stderr.
 */
export abstract class SlipwayCommand<T extends typeof Command> extends Command {
  static override baseFlags = {
    file: Flags.string({
      char: 'f',
      summary: 'The cluster, as declared in this file',
      default: './cluster.yaml',
      helpGroup: 'GLOBAL',
      helpValue: 'FILE',
    }),
    'no-color': Flags.boolean({ summary: 'No colour (also: NO_COLOR=1)', helpGroup: 'GLOBAL' }),
    verbose: Flags.boolean({
      char: 'v',
      summary: 'Say more: every progress message, and where an unexpected error comes from',
      helpGroup: 'GLOBAL',
    }),
  };

  protected flags!: FlagsOf<T>;
  protected args!: ArgsOf<T>;
  protected env!: Environment;
  private interrupt: Interrupt | undefined;
  private live_: LiveView | undefined;
  private format: Format = 'human';
  private verbose = false;
  private file = './cluster.yaml';
  private yes = false;
  private words: readonly string[] = [];
  private noColour = false;
  /** Ctrl-C is the ordinary end of this command: nothing is cut by it. */
  private watching = false;
  /** Events went to stdout as lines: then the result is one line too. */
  private lines = false;

  override async init(): Promise<void> {
    // Before anything can fail: how an error is to be shown must not depend on what failed.
    this.format = sniffFormat(this.argv);
    this.noColour = ownWords(this.argv).includes('--no-color');
    this.interrupt = catchSignals(
      (text) => {
        if (!this.watching) this.say(text);
      },
      undefined,
      () => this.finishesFirst,
    );
    guardStreams();
    this.onCrash = (error) => {
      this.report(error);
      process.exit();
    };
    process.on('uncaughtException', this.onCrash);
    await super.init();
    this.env = readEnvironment();
    const { args, flags, raw } = await this.parse({
      flags: this.ctor.flags,
      baseFlags: SlipwayCommand.baseFlags,
      args: this.ctor.args,
      strict: this.ctor.strict,
    });
    // oclif infers these from the static members of the subclass; TypeScript cannot follow from `this.ctor`.
    this.flags = flags as FlagsOf<T>;
    this.args = args as ArgsOf<T>;
    this.verbose = flags.verbose;
    this.file = flags.file;
    // Not oclif's argv: it is sorted by each word's first appearance, which moves words that appear twice.
    this.words = raw
      .filter((token) => token.type === 'arg')
      .map((token) => token.input)
      .slice(Object.keys(this.ctor.args).length);
    this.yes = 'yes' in flags && flags.yes === true;
  }
  private onCrash: (error: unknown) => void = () => {};

  /** Aborted by the first Ctrl-C or SIGTERM. */
  protected get signal(): AbortSignal {
    if (!this.interrupt) throw new Error('signal is there from init() on');
    return this.interrupt.signal;
  }

  /** Aborted by the first Ctrl-C or SIGTERM of a command that `finishesFirst`; `signal` then by the second. */
  protected get stopping(): AbortSignal {
    if (!this.interrupt) throw new Error('signals are caught from init() on');
    return this.interrupt.stopping;
  }
  protected readonly finishesFirst: boolean = false;

  /** What cli/open.ts takes: the file of `-f` and these surroundings. Events go nowhere unless told. */
  protected opening(emit: Emit = () => {}): OpenInput {
    return { file: this.file, env: this.env, version: this.config.version, signal: this.signal, emit };
  }

  /** What follows the arguments (with `static strict = false`): the command of `cluster ssh etcd-a -- uptime`. */
  protected rest(): readonly string[] {
    return this.words;
  }

  /**
   * While a program of the user's runs (kubectl), signals are for that program: this one only waits for its end. Where there is a terminal Ctrl-C
   * reaches it without us, and twice would be once too often.
   */
  protected passSignals(send: (name: NodeJS.Signals) => void): void {
    this.interrupt?.release();
    const terminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => send(name));
    process.on('SIGINT', () => {
      if (!terminal) send('SIGINT');
    });
  }

  /** For a command that stays until Ctrl-C, which is its ordinary end: exit 0. */
  protected async untilInterrupted(): Promise<void> {
    this.watching = true;
    if (!this.signal.aborted) await once(this.signal, 'abort');
    this.exitWith(exitCodes.done);
  }

  /** Prints a result on stdout in the format of `-o`, and returns it. */
  protected show<D>(view: View<D>, data: D): D {
    process.stdout.write(render(view, data, this.format, this.lookOf(process.stdout), this.lines));
    return data;
  }

  /** Shows what `look` finds, again and again until Ctrl-C, and then exits 0. A terminal is redrawn; elsewhere block follows block; JSON is one line a look. */
  protected async watch<D>(view: View<D>, look: () => Promise<D>, everyMs: number): Promise<void> {
    const { clearScreen, redraw, watch } = await import('./watch.ts');
    this.watching = true;
    const terminal = this.format === 'human' && process.stdout.isTTY === true;
    const json = this.format === 'json';
    if (terminal) process.stdout.write(clearScreen);
    await watch({
      look,
      draw: (data) => {
        const text = render(view, data, this.format, this.lookOf(process.stdout), json);
        process.stdout.write(terminal ? redraw(text) : json ? text : `${text}\n`);
      },
      missed: ({ problem }) => {
        if (json) process.stderr.write(problemJson('problem', exitCodes.unreachable, problem));
        else process.stderr.write(problemText('Error:', problem, this.lookOf(process.stderr)));
      },
      everyMs,
      signal: this.signal,
    });
    this.exitWith(exitCodes.done);
  }

  /** Shows for people, on stderr, what is about to be confirmed: the result is still to come. */
  protected preview<D>(view: View<D>, data: D): void {
    this.live_?.pause();
    process.stderr.write(render(view, data, 'human', this.lookOf(process.stderr)));
  }

  /** Warnings of the file, for people, on stderr. */
  protected async sayFindings(findings: readonly Finding[]): Promise<void> {
    const bad = findings.filter(({ severity }) => severity !== 'ok');
    if (bad.length === 0) return;
    const { findingText } = await import('../ui/findings-view.ts');
    for (const finding of bad) this.say(findingText(finding, this.lookOf(process.stderr)));
  }

  /** One line of data on stdout, for what comes line by line. */
  protected line(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** One line for people, on stderr; above the live view while there is one. */
  protected say(text: string): void {
    if (this.live_) this.live_.say(text);
    else process.stderr.write(`${text}\n`);
  }

  /**
   * Progress: live on a terminal, plain lines elsewhere, both on stderr. With `stream` and `-o json` the events go to stdout, one line of JSON each, and the
   * result that `show` prints is the last line. `stop` before asking or showing.
   */
  protected async live(options: { readonly stream?: boolean } = {}): Promise<{ readonly emit: Emit; stop(): void }> {
    const { openLive } = await import('../ui/live.ts');
    const stream = options.stream === true && this.format === 'json';
    this.lines ||= stream;
    const view = await openLive({
      look: this.lookOf(process.stderr),
      mode: stream
        ? 'json'
        : process.stderr.isTTY === true && !this.env.ci && this.env.variables.TERM !== 'dumb'
          ? 'terminal'
          : 'lines',
      verbose: this.verbose,
      out: process.stdout,
      err: process.stderr,
    });
    this.live_ = view;
    return {
      emit: (event) => view.on({ ...event, at: Date.now() } as Event),
      stop: () => this.stopLive(),
    };
  }
  private stopLive(): void {
    this.live_?.stop();
    this.live_ = undefined;
  }

  /**
   * Asks before something is changed; returns when the answer is yes. With `name`, the name has to be typed.
   * @throws UserError without a terminal (names the flag), or when the answer is no
   */
  protected async confirm(question: string, options: { readonly name?: string } = {}): Promise<void> {
    if (!(await this.agrees(question, options)))
      throw new UserError({ what: 'Not confirmed: nothing was changed', next: 'Run the command again to be asked again' });
  }

  /** As `confirm`, for who is asked once more on the way: what a no means there is not said here. */
  protected async agrees(question: string, { name }: { readonly name?: string } = {}): Promise<boolean> {
    if (this.yes) return true;
    if (!this.env.isTTY)
      throw new UserError(
        { what: `"${question}" needs an answer, and there is no terminal to ask on`, next: 'Add --yes to the command' },
        exitCodes.usage,
      );
    this.live_?.pause();
    const { askText, askYesNo } = await import('../ui/prompt.ts');
    const asking = { signal: this.signal };
    return name === undefined ? askYesNo(question, asking) : (await askText(`${question} Type ${name}:`, asking)) === name;
  }

  /** The exit code of a command that succeeds with a message: 2 for changes pending. */
  protected exitWith(code: number): void {
    process.exitCode = code;
  }

  protected override async catch(error: unknown): Promise<void> {
    this.report(error);
  }

  protected override async finally(): Promise<void> {
    this.stopLive();
    this.interrupt?.release();
    process.off('uncaughtException', this.onCrash);
  }

  // oclif would print the error its own way and exit with its own code; both are said here.
  private report(error: unknown): void {
    this.stopLive();
    // Else oclif warns, outside of production, that nothing was parsed: the error may be why.
    this.parsed = true;
    const outcome = outcomeOf(error, this.interrupt?.signal.aborted === true);
    process.exitCode = outcome.exitCode;
    if (outcome.kind === 'silent') return;
    if (this.format === 'json') process.stderr.write(problemJson(outcome.kind, outcome.exitCode, outcome.problem));
    else process.stderr.write(this.errorText(outcome));
  }

  private errorText(outcome: Outcome): string {
    const look = this.lookOf(process.stderr);
    const label = { problem: 'Error:', usage: 'Usage:', interrupted: 'Stopped:', bug: 'Bug:', silent: '' }[outcome.kind];
    const text = problemText(label, outcome.problem, look);
    if (outcome.kind !== 'bug') return text;
    const about = `${this.config.userAgent}, cluster ${this.id ?? ''}`;
    const stack = outcome.stack
      ?.split('\n')
      .slice(1, this.verbose ? undefined : 6)
      .join('\n');
    return `${text}${look.style.dim(stack ? `${about}\n${stack}` : about)}\n`;
  }

  private lookOf(stream: NodeJS.WriteStream): Look {
    const variables = process.env;
    const width = stream.isTTY ? { width: stream.columns || 80 } : {};
    return { style: makeStyle(wantsColour(stream, variables, this.noColour)), verbose: this.verbose, ...width };
  }
}

/** Up to `--`: what follows is for another program. */
const ownWords = (argv: readonly string[]): readonly string[] => {
  const end = argv.indexOf('--');
  return end === -1 ? argv : argv.slice(0, end);
};

/** The format that the arguments ask for, before they are parsed: an error in parsing is shown in it. */
const sniffFormat = (argv: readonly string[]): Format => {
  const text = ownWords(argv).join(' ');
  const asked = /(?:^| )(?:-o[ =]?|--output[ =])(json|markdown)(?= |$)/.exec(text)?.[1];
  return asked === 'json' || asked === 'markdown' ? asked : 'human';
};

/** A reader that went away (`| head`) or a terminal that was closed must not turn the rest of a run into a crash. */
const guardStreams = (): void => {
  for (const stream of [process.stdout, process.stderr]) {
    // oclif's own listener throws at everything but EPIPE.
    stream.removeAllListeners('error');
    stream.on('error', () => {});
  }
};
