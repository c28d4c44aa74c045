import { expect, test } from 'vitest';
import { problemText } from '../../../src/ui/error-view.ts';
import { plainLook } from '../../../src/ui/style.ts';

test('what a program has printed reaches the terminal as text, and commands nothing there', () => {
  const problem = {
    what: 'gate smoke failed\u001b[2J',
    where: 'a\u0007',
    why: '\u001b]0;title\u0007first\n\u001b[31mred\u009b1m',
    next: 'look\b',
  };
  expect(problemText('Error:', problem, plainLook)).not.toMatch(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be there
    /[\x00-\x08\x0b-\x1f\x7f-\x9f]/,
  );
});
