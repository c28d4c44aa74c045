/** Flags of a program by name, without dashes; `undefined` leaves one out. Values may hold `${NODE_IP}` and its like from host.env. */
export type Flags = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * The rest of an ExecStart line: one flag a line, in the order given. `extra` are the user's: they replace ours of the same name,
 * and are taken literally.
 */
export function execStart(binary: string, own: Flags, extra: Readonly<Record<string, string>> = {}): string {
  const literal = Object.entries(extra).map(([name, value]) => [name, value.replaceAll('$', '$$$$')] as const);
  const all = new Map<string, string>([
    ...Object.entries(own).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as const])),
    ...literal,
  ]);
  return [binary, ...[...all].map(([name, value]) => word(`--${name}=${value}`))].join(' \\\n  ');
}

/** systemd.service(5), COMMAND LINES: `%` is a specifier, quotes and backslashes are syntax. */
const word = (text: string): string => {
  const escaped = text.replaceAll('%', '%%').replaceAll('\\', '\\\\');
  return /[\s"';]/.test(escaped) ? `"${escaped.replaceAll('"', '\\"').replaceAll('\n', '\\n')}"` : escaped;
};

/** `A=true,B=false`, or undefined where there are none. */
export const featureGateFlag = (gates: Readonly<Record<string, boolean>>): string | undefined =>
  Object.keys(gates).length === 0
    ? undefined
    : Object.entries(gates)
        .map(([name, on]) => `${name}=${on}`)
        .join(',');
