import { expect, it } from 'vitest';
import { readCommands } from '../../../scripts/commands.ts';

const { commands } = await readCommands();

it('commands, arguments and flags change on purpose only', () => {
  const surface = Object.values(commands)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ id, args, flags, strict }) => ({
      command: id.replaceAll(':', ' '),
      args: Object.values(args).map(({ name, required }) => `${name}${required ? '' : '?'}`),
      flags: Object.values(flags)
        .map((flag) => {
          const value = flag.type === 'option' ? `=${flag.options?.join('|') ?? 'VALUE'}${flag.multiple ? '...' : ''}` : '';
          return `${flag.char ? `-${flag.char} ` : ''}--${flag.name}${value}${flag.required ? ' (required)' : ''}`;
        })
        .toSorted(),
      ...(strict ? {} : { more: true }),
    }));
  expect(surface).toMatchSnapshot();
});

it.each(Object.values(commands))('$id says what it does and how it is used', ({ summary, examples, flags }) => {
  expect(summary).toMatch(/[^.]$/);
  expect(examples?.length).toBeGreaterThan(0);
  for (const flag of Object.values(flags)) expect(flag.summary, flag.name).toBeTruthy();
});

it.each(Object.values(commands))('$id takes -f, --no-color and -v', ({ flags }) => {
  expect(Object.keys(flags)).toEqual(expect.arrayContaining(['file', 'no-color', 'verbose']));
});
