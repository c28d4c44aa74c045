import { Cron } from 'croner';

/** Moments at which a schedule begins, in a time zone of the IANA database. */
export interface Schedule {
  /** The first moment after `moment`; undefined: there is none. */
  after(moment: Date): Date | undefined;
  /** The last moment that is not after `moment`; undefined: there was none. */
  upTo(moment: Date): Date | undefined;
}
/** Throws for what `cronProblem` complains of. */
export function openSchedule(cron: string, timezone = 'UTC'): Schedule {
  // Without a function it is only asked, and sets no timer.
  const job = new Cron(cron.trim(), { mode: '5-part', timezone });
  return {
    after: (moment) => job.nextRun(moment) ?? undefined,
    // It begins at whole minutes only, and croner looks before the second that it is given.
    upTo: (moment) => job.previousRuns(1, new Date(Math.floor(moment.getTime() / 1000) * 1000 + 1000))[0],
  };
}

export const isTimezone = (timezone: string): boolean => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
    return true;
  } catch {
    return false;
  }
};

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  /** Names of values, from the first one on. */
  readonly words: readonly string[];
}
/** The five fields of cron(5). */
const fields: readonly Field[] = [
  { name: 'minute', least: 0, most: 59, words: [] },
  { name: 'hour', least: 0, most: 23, words: [] },
  { name: 'day of month', least: 1, most: 31, words: [] },
  {
    name: 'month',
    least: 1,
    most: 12,
    words: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  { name: 'day of week', least: 0, most: 7, words: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
];

/** What is wrong with a schedule, to be said after its name; undefined: nothing. */
export function cronProblem(cron: string): { readonly what: string; readonly next?: string } | undefined {
  const text = cron.trim();
  const next = 'minute, hour, day of month, month, day of week: "0 3 * * *", or @daily';
  if (text.startsWith('@'))
    return /^@(hourly|daily|weekly|monthly|yearly)$/.test(text)
      ? undefined
      : { what: `is ${shown(text)}; it must be @hourly, @daily, @weekly, @monthly, @yearly or five fields`, next };
  const parts = text === '' ? [] : text.split(/\s+/);
  if (parts.length !== fields.length)
    return { what: `has ${parts.length} ${parts.length === 1 ? 'field' : 'fields'}; cron has 5`, next };
  for (const [i, field] of fields.entries()) {
    const { name, least, most, words } = field;
    const part = parts[i] ?? '';
    if (!part.split(',').every((entry) => fits(entry, field)))
      return {
        what: `has ${shown(part)} as its ${name}; it must be * or numbers from ${least} to ${most}${words.length > 0 ? ` or names such as ${words[1]}` : ''}, with - , /`,
      };
  }
  // 2096 is followed by the longest time without a leap day.
  return openSchedule(text).after(new Date('2096-03-01T00:00:00Z')) ? undefined : { what: 'names a day that never comes' };
}

/** `*`, `5`, `1-5`, `mon-fri`; with a step, `*` and ranges only: programs do not agree what 5/15 is. */
function fits(entry: string, field: Field): boolean {
  const { least, most } = field;
  const [, from, to, step] = /^(\*|\w+)(?:-(\w+))?(?:\/(\d{1,2}))?$/.exec(entry) ?? [];
  if (from === undefined || (step !== undefined && (Number(step) < 1 || Number(step) > most))) return false;
  if (from === '*') return to === undefined;
  if (step !== undefined && to === undefined) return false;
  const low = numberOf(from, field);
  const high = to === undefined ? low : numberOf(to, field);
  // sat-sun: the week may end with Sunday.
  const end = to?.toLowerCase() === 'sun' ? 7 : high;
  return low >= least && end <= most && low <= end;
}

function numberOf(text: string, { least, words }: Field): number {
  const word = words.indexOf(text.toLowerCase());
  return word !== -1 ? word + least : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 40));
