/** `npm run bench [NAME...]`: measures the budgets of the project and prints one JSON object: {results: [{name, unit, median, runs, worst, budget}]}. */
import { measurements } from './measurements.ts';

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !measurements.some((m) => m.names.includes(name)));
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}. Known: ${measurements.flatMap((m) => m.names).join(', ')}`);
  process.exit(64);
}
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const results: { name: string; unit: string; median: number; runs: readonly number[]; worst: number; budget: number }[] = [];
for (const { names, measure, budgets } of measurements) {
  if (wanted.length > 0 && !names.some((name) => wanted.includes(name))) continue;
  const runs = new Map<string, number[]>();
  for (let run = 1; run <= 3; run++) {
    console.error(`${names.join(', ')}: run ${run} of 3`);
    for (const [name, value] of Object.entries(await measure())) runs.set(name, [...(runs.get(name) ?? []), value]);
  }
  for (const [name, values] of runs) {
    const budget = budgets[name];
    if (budget && (wanted.length === 0 || wanted.includes(name)))
      results.push({
        name,
        unit: budget.unit,
        median: median(values),
        runs: values,
        worst: Math.max(...values),
        budget: budget.most,
      });
  }
}
console.log(JSON.stringify({ results }, null, 2));
