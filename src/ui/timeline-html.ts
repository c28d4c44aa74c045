import { duration, timestamp } from './text.ts';
import type { Timeline, TimelineStep } from './timeline.ts';

const row = 20;
const labels = 340;
const chart = 760;
const top = 28;

/** A page of its own (no script, nothing from elsewhere): one bar a step, the critical path outlined. */
export const timelineHtml = (title: string, timeline: Timeline): string => {
  const height = top + timeline.steps.length * row + 8;
  const scale = chart / Math.max(1, timeline.duration);
  const ticks = ticksOf(timeline.duration).map((ms) => {
    const x = labels + ms * scale;
    return `<line class="tick" x1="${n(x)}" y1="${top - 6}" x2="${n(x)}" y2="${height}"/><text class="tick" x="${n(x)}" y="14">${duration(ms)}</text>`;
  });
  const bars = timeline.steps.map((step, i) => bar(step, top + i * row, scale));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>${css}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<p>${timestamp(timeline.startedAt)} UTC, ${duration(timeline.duration)}; ${timeline.steps.length} steps, ${duration(timeline.work)} of work; critical path ${duration(timeline.critical)}</p>
<p class="key"><span class="done">done</span> <span class="failed">failed</span> <span class="cut">cut</span> <span class="open">not ended</span> <span class="critical">critical path</span></p>
<svg role="img" aria-label="Steps over time" viewBox="0 0 ${labels + chart + 90} ${height}" width="${labels + chart + 90}" height="${height}">
${ticks.join('\n')}
${bars.join('\n')}
</svg>
${failures(timeline.steps)}
</body>
</html>
`;
};

const bar = (step: TimelineStep, y: number, scale: number): string => {
  const width = Math.max(1.5, (step.end - step.start) * scale);
  const x = labels + step.start * scale;
  const took = duration(step.end - step.start);
  const about = escapeHtml(
    `${step.title}\nfrom ${duration(step.start)} to ${duration(step.end)}, ${took}, ${step.state}${step.what ? `\n${step.what}` : ''}`,
  );
  const label = escapeHtml(step.title.length > 52 ? `${step.title.slice(0, 51)}…` : step.title);
  return `<g><title>${about}</title><text class="label" x="${labels - 8}" y="${y + 13}">${label}</text><rect class="${step.state}${step.critical ? ' critical' : ''}" x="${n(x)}" y="${y + 3}" width="${n(width)}" height="${row - 6}" rx="2"/><text class="took" x="${n(x + width + 5)}" y="${y + 13}">${took}</text></g>`;
};

const failures = (steps: readonly TimelineStep[]): string =>
  steps
    .filter(({ state }) => state === 'failed')
    .map(
      ({ title, what, log }) =>
        `<h2>${escapeHtml(title)}</h2>\n<pre>${escapeHtml([what, ...(log ?? [])].filter(Boolean).join('\n'))}</pre>`,
    )
    .join('\n');

/** At most ten round marks. */
const ticksOf = (total: number): readonly number[] => {
  const steps = [
    100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
  ];
  const step = steps.find((candidate) => total / candidate <= 10) ?? 7_200_000;
  return Array.from({ length: Math.floor(total / step) + 1 }, (_, i) => i * step);
};

const n = (value: number): string => value.toFixed(1);

const escapeHtml = (text: string): string =>
  text.replace(
    /[&<>"']/g,
    (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[character] ?? character,
  );

const css = `
:root{color-scheme:light dark;--text:#1f2328;--faint:#8b949e;--line:#d8dee4;--done:#4f8ad9;--failed:#d1242f;--cut:#bf8700;--open:#8250df;--critical:#e8590c}
@media (prefers-color-scheme:dark){:root{--text:#e6edf3;--line:#30363d}}
body{font:14px/1.5 system-ui,sans-serif;color:var(--text);margin:24px}
h1{font-size:20px}h2{font-size:15px}
svg{max-width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--text)}
svg text.label{text-anchor:end}svg text.took,svg text.tick{fill:var(--faint)}
line.tick{stroke:var(--line)}
rect.done{fill:var(--done)}rect.failed{fill:var(--failed)}rect.cut{fill:var(--cut)}rect.open{fill:var(--open)}
rect.critical{stroke:var(--critical);stroke-width:2}
.key span{padding:1px 8px;border-radius:3px;color:#fff}
.key .done{background:var(--done)}.key .failed{background:var(--failed)}.key .cut{background:var(--cut)}.key .open{background:var(--open)}
.key .critical{color:var(--text);border:2px solid var(--critical)}
pre{background:color-mix(in srgb,var(--line) 40%,transparent);padding:12px;overflow:auto}
`.replaceAll('\n', '');
