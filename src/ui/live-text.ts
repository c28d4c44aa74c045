import type { Event } from '../run/events.ts';
import type { Look } from './style.ts';
import { bytes, duration, indent, sanitize } from './text.ts';

/** Shows events while they happen. Never throws; what it cannot write it drops. */
export interface LiveView {
  on(event: Event): void;
  /** A line of its own among the progress. */
  say(text: string): void;
  /** Gives the terminal back, for a question; the next event takes it again. */
  pause(): void;
  /** Leaves the terminal as it was found, for good. May be called twice. */
  stop(): void;
}
export interface LiveOptions {
  /** `terminal` redraws, `lines` appends, `json` writes the events themselves to `out`. */
  readonly mode: 'terminal' | 'lines' | 'json';
  readonly look: Look;
  readonly verbose: boolean;
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WriteStream;
}

/** The line that a task ends with; undefined while it goes on. */
export const endLine = (event: Event, title: string, startedAt: number | undefined, { style }: Look): string | undefined => {
  const took = startedAt === undefined ? '' : ` ${style.dim(duration(event.at - startedAt))}`;
  switch (event.type) {
    case 'done':
      return `${style.green('✔')} ${title}${took}`;
    case 'failed': {
      const log = event.log.map((line) => style.dim(indent(sanitize(line), 4)));
      return [`${style.red('✖')} ${title}${took}`, style.red(indent(sanitize(event.what), 2)), ...log].join('\n');
    }
    case 'cut':
      return `${style.yellow('■')} ${title}${took} ${style.dim(`cut: ${sanitize(event.because)}`)}`;
    case 'started':
    case 'progress':
      return undefined;
  }
};

/** `fetching 12.4 MB of 60.1 MB`, `building 120 of 310 packages`. */
export const progressText = (event: Extract<Event, { readonly type: 'progress' }>): string => {
  const message = sanitize(event.message).replaceAll('\n', ' ');
  if (!event.amount) return message;
  const { done, of, unit } = event.amount;
  const amount = unit === 'bytes' ? `${bytes(done)} of ${bytes(of)}` : `${done} of ${of} ${unit}`;
  return `${message} ${amount}`.trim();
};
