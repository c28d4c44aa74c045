import type { Look } from './style.ts';

export const formats = ['human', 'json', 'markdown'] as const;
export type Format = (typeof formats)[number];

/** One view a kind of result: the same data for people, for programs, and for a pull request. */
export interface View<D> {
  human(data: D, look: Look): string;
  /** What `-o json` prints; without it the data as they are. */
  json?(data: D): unknown;
  markdown?(data: D): string;
}

/** The text of a result in one format, ending in one newline (or empty). */
export const render = <D>(view: View<D>, data: D, format: Format, look: Look, oneLine = false): string => {
  const text = renderRaw(view, data, format, look, oneLine);
  return text === '' ? '' : `${text.replace(/\n+$/, '')}\n`;
};

const renderRaw = <D>(view: View<D>, data: D, format: Format, look: Look, oneLine: boolean): string => {
  switch (format) {
    case 'human':
      return view.human(data, look);
    case 'json':
      return JSON.stringify(view.json ? view.json(data) : data, undefined, oneLine ? undefined : 2);
    case 'markdown':
      if (!view.markdown) throw new Error('this view has no markdown, but its command offers it');
      return view.markdown(data);
  }
};
