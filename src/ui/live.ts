import { endLine, type LiveOptions, type LiveView, progressText } from './live-text.ts';
import { sanitize } from './text.ts';

/** Opens the view that fits. Only the terminal's loads anything. */
export const openLive = async (options: LiveOptions): Promise<LiveView> => {
  switch (options.mode) {
    case 'json':
      return jsonLines(options);
    case 'lines':
      return plainLines(options);
    case 'terminal':
      return (await import('./live-terminal.ts')).openTerminal(options);
  }
};

const jsonLines = ({ out, err }: LiveOptions): LiveView => ({
  on: (event) => void out.write(`${JSON.stringify(event)}\n`),
  say: (text) => void err.write(`${text}\n`),
  pause: () => {},
  stop: () => {},
});

/** What takes longer says so often what it waits for: a pipeline has no other sign of life. In milliseconds. */
const signOfLifeMs = 15_000;

/** For logs of a pipeline: one line when a task ends; of what takes long now and then what it waits for. All progress, and beginnings, only when asked for. */
const plainLines = ({ look, verbose, err }: LiveOptions): LiveView => {
  const tasks = new Map<string, { readonly title: string; readonly at: number; told: number }>();
  const write = (line: string): void => void err.write(`${line}\n`);
  return {
    on: (event) => {
      const task = tasks.get(event.task);
      const title = task?.title ?? event.task;
      if (event.type === 'started') tasks.set(event.task, { title: sanitize(event.title), at: event.at, told: event.at });
      if (event.type === 'started' && verbose) write(look.style.dim(`… ${sanitize(event.title)}`));
      // What belongs to no task (who holds the lock that is waited for) is said in any case: nothing else tells of it.
      if (event.type === 'progress' && (verbose || !task || event.at - task.told >= signOfLifeMs)) {
        if (task) task.told = event.at;
        write(look.style.dim(`  ${title}: ${progressText(event)}`));
      }
      const line = endLine(event, title, task?.at, look);
      if (line === undefined) return;
      tasks.delete(event.task);
      write(line);
    },
    say: write,
    pause: () => {},
    stop: () => {},
  };
};
