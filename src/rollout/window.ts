import { openSchedule, type Schedule } from '../config/cron.ts';
import { durationMs } from '../config/duration.ts';
import type { MaintenanceWindow } from '../config/schema.ts';

/** Whether an upgrade may go on now. */
export type InWindow =
  /** Until then: windows that overlap or follow each other at once are one. Undefined: no end in sight. */
  | { readonly open: true; readonly until: Date | undefined }
  /** When the next one opens. Undefined: never again. */
  | { readonly open: false; readonly opens: Date | undefined };

/** So many windows in a row without a break have no end that anybody waits for. */
const mostInARow = 100;

/** A window opens when its cron fires, and lasts for its duration also where clocks change meanwhile. No windows: always open. */
export function inWindow(windows: readonly MaintenanceWindow[], now: Date): InWindow {
  if (windows.length === 0) return { open: true, until: undefined };
  const opened = windows.map(({ cron, duration, timezone }) => ({
    schedule: openSchedule(cron, timezone),
    lastsMs: durationMs(duration),
  }));
  let until = now;
  for (let row = 0; row <= mostInARow; row++) {
    const end = latest(opened.map((window) => endOf(window, until)));
    if (end === undefined || end <= until)
      return row === 0
        ? { open: false, opens: earliest(opened.map(({ schedule }) => schedule.after(now))) }
        : { open: true, until };
    until = end;
  }
  return { open: true, until: undefined };
}

/** When the window ends that is open at a moment, or opens at it: one that has begun last ends last. */
function endOf({ schedule, lastsMs }: { readonly schedule: Schedule; readonly lastsMs: number }, moment: Date): Date | undefined {
  const began = schedule.upTo(moment);
  return began && new Date(began.getTime() + lastsMs);
}

const present = (dates: readonly (Date | undefined)[]): readonly number[] =>
  dates.flatMap((date) => (date ? [date.getTime()] : []));
const latest = (dates: readonly (Date | undefined)[]): Date | undefined => {
  const all = present(dates);
  return all.length === 0 ? undefined : new Date(Math.max(...all));
};
const earliest = (dates: readonly (Date | undefined)[]): Date | undefined => {
  const all = present(dates);
  return all.length === 0 ? undefined : new Date(Math.min(...all));
};
