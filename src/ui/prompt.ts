import { exitCodes, UserError } from '../errors.ts';

/** Questions to a person. Asked on stderr: stdout is for data. The library is loaded only when a question is asked. */
export interface Asking {
  readonly signal: AbortSignal;
}
interface Choice {
  readonly value: string;
  readonly name?: string;
  readonly description?: string;
}
type Check = (answer: string) => true | string;

const load = () => import('@inquirer/prompts');
const context = (asking: Asking) => ({ output: process.stderr, signal: asking.signal });

export const askYesNo = (message: string, asking: Asking, byDefault = false): Promise<boolean> =>
  answered(async () => (await load()).confirm({ message, default: byDefault }, context(asking)));

export const askText = (message: string, asking: Asking, options: { readonly default?: string; readonly check?: Check } = {}) =>
  answered(async () =>
    (await load()).input(
      {
        message,
        ...(options.default === undefined ? {} : { default: options.default }),
        ...(options.check ? { validate: options.check } : {}),
      },
      context(asking),
    ),
  );

export const askOne = (message: string, choices: readonly Choice[], asking: Asking, byDefault?: string): Promise<string> =>
  answered(async () =>
    (await load()).select(
      { message, choices: [...choices], ...(byDefault === undefined ? {} : { default: byDefault }) },
      context(asking),
    ),
  );

/** Ctrl-C in a prompt reaches the prompt and not the process: it becomes an interruption here. */
const answered = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof Error && ['ExitPromptError', 'AbortPromptError', 'CancelPromptError'].includes(error.name))
      throw new UserError({ what: 'Not answered: nothing was changed', next: 'Run the command again' }, exitCodes.interrupted, {
        cause: error,
      });
    throw error;
  }
};
