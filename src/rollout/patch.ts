import { formatPatch, structuredPatch } from 'diff';

/** What lies at a path, before or after: its text, or only by what name and digest it is known. */
export interface Side {
  /** Octal, as in '0644'. Undefined: of a unit, whose mode nobody designs. */
  readonly mode?: string | undefined;
  /** A unit that systemd would not start at boot. */
  readonly disabled?: boolean;
  readonly content: { readonly text: string } | { readonly shown: string };
}

/** More edits than these are no diff that anybody reads, and quadratic to find. */
const mostEdits = 1000;

/**
 * One file as a unified diff, as git writes them: modes above the names, three lines of context. Undefined: nothing differs. What may not be shown
 * (a secret), or is not known, stands as one line that says so.
 */
export function patchOf(path: string, before: Side | undefined, after: Side | undefined): string | undefined {
  const lines = [...headOf(before, after), ...bodyOf(path, before, after)];
  return lines.length === 0 ? undefined : `${lines.join('\n')}\n`;
}

function headOf(before: Side | undefined, after: Side | undefined): readonly string[] {
  if (!before) return after?.mode === undefined ? [] : [`new file mode ${after.mode}`];
  if (!after) return before.mode === undefined ? [] : [`deleted file mode ${before.mode}`];
  const mode = before.mode !== undefined && after.mode !== undefined && before.mode !== after.mode;
  return [
    ...(mode ? [`old mode ${before.mode}`, `new mode ${after.mode}`] : []),
    ...(before.disabled ? ['disabled → enabled'] : []),
  ];
}

function bodyOf(path: string, before: Side | undefined, after: Side | undefined): readonly string[] {
  const [old, now] = [linesOf(before), linesOf(after)];
  if (old === now) return [];
  const names = [before ? `a${path}` : '/dev/null', after ? `b${path}` : '/dev/null'] as const;
  const patch = structuredPatch(...names, old, now, undefined, undefined, { context: 3, maxEditLength: mostEdits });
  const counts = (text: string) => text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  if (!patch)
    return [`--- ${names[0]}`, `+++ ${names[1]}`, `@@ -1,${counts(old)} +1,${counts(now)} @@ more than ${mostEdits} edits`];
  const text = formatPatch(patch, { includeIndex: false, includeUnderline: false, includeFileHeaders: true });
  return text.replace(/\n$/, '').split('\n');
}

const linesOf = (side: Side | undefined): string => {
  if (!side) return '';
  return 'text' in side.content ? side.content.text : `(${side.content.shown})\n`;
};
