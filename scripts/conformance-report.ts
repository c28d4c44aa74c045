// What a run of upstream's tests came to: `conformance-report.ts REPORT.json...` (ginkgo's own format) prints counts a SIG and each failure. Exit 1 when any failed.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const reportSchema = z.array(
  z.object({
    SpecReports: z.array(
      z.object({
        ContainerHierarchyTexts: z.array(z.string()).nullish(),
        LeafNodeText: z.string(),
        LeafNodeType: z.string(),
        State: z.string(),
        Failure: z.object({ Message: z.string() }).nullish(),
      }),
    ),
  }),
);

const specs = process.argv
  .slice(2)
  .flatMap((file) => reportSchema.parse(JSON.parse(readFileSync(file, 'utf8'))))
  .flatMap((suite) => suite.SpecReports)
  .filter((spec) => spec.LeafNodeType === 'It' && spec.State !== 'pending')
  .map((spec) => ({ ...spec, name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' ') }))
  // Not chosen: without a word why.
  .filter((spec) => spec.State !== 'skipped' || spec.Failure?.Message);

const sigs = new Map<string, { passed: number; failed: number; skipped: number }>();
for (const { name, State } of specs) {
  const sig = /\[(sig-[a-z-]+)\]/.exec(name)?.[1] ?? 'other';
  const counts = sigs.get(sig) ?? { passed: 0, failed: 0, skipped: 0 };
  counts[State === 'passed' || State === 'skipped' ? State : 'failed']++;
  sigs.set(sig, counts);
}
for (const [sig, { passed, failed, skipped }] of [...sigs].sort())
  console.log(`${sig}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
const failures = specs.filter(({ State }) => State !== 'passed' && State !== 'skipped');
for (const { name, State, Failure } of failures)
  console.log(`\n${State}: ${name}\n  ${(Failure?.Message ?? '').slice(0, 600).replaceAll('\n', '\n  ')}`);
process.exitCode = failures.length > 0 ? 1 : 0;
