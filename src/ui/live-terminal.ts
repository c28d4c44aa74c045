import { figures, ProcessOutput, Spinner } from 'listr2';
import type { Event } from '../run/events.ts';
import { endLine, type LiveOptions, type LiveView, progressText } from './live-text.ts';
import { duration, sanitize, truncate } from './text.ts';

interface Running {
  readonly title: string;
  readonly startedAt: number;
  progress: string;
}
const frameMs = 100;
/** Tasks quicker than this leave no line of their own: a run has hundreds. */
const worthALineMs = 1000;

/**
 * What runs now, redrawn in place; what took its time or failed stays above. listr2's own renderer wants its tree of tasks before the start and
 * draws a line for each: a run is a graph of hundreds of steps that appear as they come. So its terminal utilities serve here (spinner, figures,
 * and the hijacking of stdout and stderr that keeps stray output out of the frame), under a frame of our own.
 */
export const openTerminal = ({ look, verbose, err }: LiveOptions, now: () => number = Date.now): LiveView => {
  const { style } = look;
  const running = new Map<string, Running>();
  const count = { done: 0, failed: 0, cut: 0 };
  const startedAt = now();
  // It writes to its stdout to hide the cursor: where that is a file or a pipe, it must not see it.
  const output = new ProcessOutput(process.stdout.isTTY ? process.stdout : err, err, { leaveEmptyLine: false });
  const spinner = new Spinner();
  let height = 0;
  let active = false;
  let stopped = false;

  const write = (text: string): void => void output.toStderr(text, false);
  const erase = (): string => (height > 0 ? `\u001b[${height}A\r\u001b[J` : '');
  const frame = (): readonly string[] => {
    const columns = (err.columns || 80) - 1;
    const room = Math.max(1, Math.min(12, (err.rows || 24) - 4));
    const lines = [...running.values()].slice(0, room).map((task) => {
      const took = duration(now() - task.startedAt);
      const text = truncate(
        task.progress ? `${task.title}: ${task.progress}` : task.title,
        Math.max(10, columns - took.length - 3),
      );
      return `${style.cyan(spinner.fetch())} ${text} ${style.dim(took)}`;
    });
    if (running.size > room) lines.push(style.dim(`  and ${running.size - room} more`));
    return [...lines, style.dim(truncate(summary(), columns))];
  };
  const summary = (): string => {
    const ended = [`${count.done} done`, count.failed > 0 && `${count.failed} failed`, count.cut > 0 && `${count.cut} cut`];
    return `${figures.pointerSmall} ${ended.filter(Boolean).join(', ')}, ${running.size} running, ${duration(now() - startedAt)}`;
  };
  const draw = (above = ''): void => {
    if (!active) {
      if (above !== '') write(above);
      return;
    }
    const lines = frame();
    // One write a frame: two would flicker.
    write(`${erase()}${above}${lines.join('\n')}\n`);
    height = lines.length;
  };

  const end = (event: Event): void => {
    const task = running.get(event.task);
    const line = endLine(event, task?.title ?? event.task, task?.startedAt, look);
    if (line === undefined) return;
    running.delete(event.task);
    if (event.type === 'done' || event.type === 'failed' || event.type === 'cut') count[event.type]++;
    if (event.type !== 'done' || verbose || event.at - (task?.startedAt ?? event.at) >= worthALineMs) draw(`${line}\n`);
  };

  const showCursor = (): void => void err.write('\u001b[?25h');
  const take = (): void => {
    if (active || stopped) return;
    active = true;
    process.once('exit', showCursor);
    output.hijack();
    write('\u001b[?25l');
    spinner.start(() => draw(), frameMs);
  };
  const giveBack = (last: string): void => {
    if (!active) return;
    active = false;
    spinner.stop();
    write(`${erase()}${last}`);
    height = 0;
    output.release();
    showCursor();
    process.off('exit', showCursor);
  };
  return {
    on: (event) => {
      take();
      if (event.type === 'started')
        running.set(event.task, { title: sanitize(event.title).replaceAll('\n', ' '), startedAt: event.at, progress: '' });
      const task = running.get(event.task);
      if (event.type === 'progress' && task) task.progress = progressText(event);
      else if (event.type === 'progress') draw(`${style.dim(`${event.task}: ${progressText(event)}`)}\n`);
      end(event);
    },
    say: (text) => draw(`${text}\n`),
    pause: () => giveBack(''),
    stop: () => {
      giveBack(`${style.dim(summary())}\n`);
      stopped = true;
    },
  };
};
