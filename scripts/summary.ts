/** Adds up the JSON reports of the test runs in a directory and prints the closing line: `N passed, N failed[, N skipped]`, skips before it, by names that say why. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { z } from 'zod';

const assertion = z.object({
  status: z.string(),
  fullName: z.string(),
  failureMessages: z.array(z.string()).default([]),
});
/** So much of a failure stands at the end, where a log that was cut still has it; the whole is where it happened. */
const failureLines = 30;
const report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numFailedTestSuites: z.number().default(0),
  testResults: z
    .array(
      z.object({ name: z.string(), status: z.string(), message: z.string().default(''), assertionResults: z.array(assertion) }),
    )
    .default([]),
});

const [directory = ''] = process.argv.slice(2);
let [passed, failed, skipped] = [0, 0, 0];
for (const file of readdirSync(directory)) {
  const found = report.parse(JSON.parse(readFileSync(join(directory, file), 'utf8')));
  passed += found.numPassedTests;
  failed += found.numFailedTests;
  skipped += found.numPendingTests;
  for (const suite of found.testResults) {
    // A file that could not even be loaded has no failed test, and is a failure all the same.
    if (suite.status === 'failed' && suite.assertionResults.every((test) => test.status !== 'failed')) {
      failed++;
      console.log(`failed to run: ${suite.name}\n${suite.message}`);
    }
    for (const test of suite.assertionResults) {
      if (test.status === 'failed') {
        const said = stripVTControlCharacters(test.failureMessages.join('\n')).split('\n').slice(0, failureLines);
        console.log(`failed: ${test.fullName}\n${said.map((line) => `    ${line}`).join('\n')}`);
      }
      if (test.status === 'pending' || test.status === 'skipped') console.log(`skipped: ${test.fullName}`);
    }
  }
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
