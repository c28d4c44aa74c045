import { expect, test } from 'vitest';
import { problemText } from '../../../src/ui/error-view.ts';
import { plainLook } from '../../../src/ui/style.ts';

test('what a machine, the API or a gate has said reaches no terminal as more than text', () => {
  const evil = (text: string) => `${text}\u001b]0;mine\u0007\u001b[2J\r\u009b1m`;
  const problem = { where: evil('node a'), what: evil('gate failed'), why: evil('line one\nline two'), next: evil('look') };
  const text = problemText('Error:', problem, plainLook);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  expect(text).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
  expect(text).toMatch(/^Error: node a.*: gate failed.*\n {2}line one\n {2}line two.*\nNext: look/);
});
