/** A date or time of cluster.yaml as an instant that sorts as text: `2026-11-21` is 2026-11-21T00:00:00Z. */
export const instantOf = (text: string): string => {
  const [date = '', time = '00:00Z'] = text.split('T');
  return `${date}T${time.length === '00:00Z'.length ? time.replace('Z', ':00Z') : time}`;
};

/** False for what the calendar or the clock does not have: 2026-02-30, 25:00. */
export function isInstant(text: string): boolean {
  const instant = instantOf(text);
  const ms = Date.parse(instant);
  return !Number.isNaN(ms) && new Date(ms).toISOString() === instant.replace('Z', '.000Z');
}
