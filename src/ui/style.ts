import { styleText } from 'node:util';

/** Colour and weight, by meaning of the word; identity functions where there is no colour. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
  readonly magenta: (text: string) => string;
}
/** How a text for people is drawn: with or without colour, and how wide the terminal is (undefined: no terminal, nothing is cut). */
export interface Look {
  readonly style: Style;
  readonly width?: number;
  /** `-v`: leave nothing out. */
  readonly verbose?: boolean;
}

const names = ['bold', 'dim', 'red', 'green', 'yellow', 'cyan', 'magenta'] as const;

const styleWith = (paint: (name: (typeof names)[number], text: string) => string): Style => ({
  bold: (text) => paint('bold', text),
  dim: (text) => paint('dim', text),
  red: (text) => paint('red', text),
  green: (text) => paint('green', text),
  yellow: (text) => paint('yellow', text),
  cyan: (text) => paint('cyan', text),
  magenta: (text) => paint('magenta', text),
});

const coloured = styleWith((name, text) => styleText(name, text, { validateStream: false }));
const plain = styleWith((_, text) => text);

export const makeStyle = (colour: boolean): Style => (colour ? coloured : plain);
export const plainLook: Look = { style: plain };

/** What decides on colour: the flag, then NO_COLOR (no-color.org: any value but the empty one), FORCE_COLOR, TERM=dumb, then the stream. */
export const wantsColour = (
  stream: { readonly isTTY?: boolean },
  variables: Readonly<Record<string, string | undefined>>,
  noColourFlag: boolean,
): boolean => {
  if (noColourFlag || variables.NO_COLOR) return false;
  if (variables.FORCE_COLOR && variables.FORCE_COLOR !== '0') return true;
  return variables.TERM !== 'dumb' && stream.isTTY === true;
};
