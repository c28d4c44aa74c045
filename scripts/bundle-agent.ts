import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

/**
 * Makes the agent, one file that needs nothing but Node, of its source: into dist, where the package takes it from. `version` beside it is the
 * digest of its content, so that a host never runs an old one under the name of a new one.
 */
export async function bundleAgent(): Promise<void> {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const bundle = await rolldown({
    input: `${root}src/cli/agent-main.ts`,
    platform: 'node',
    logLevel: 'warn',
    // The SDK's other ways to credentials: an instance has its own.
    onwarn: () => undefined,
  });
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false, minify: true });
  await bundle.close();
  const [chunk] = output;
  if (output.length !== 1 || !chunk) throw new Error(`the agent became ${output.length} files`);
  const directory = `${root}dist/src/agent/bundle`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/agent.mjs`, chunk.code);
  const version = createHash('sha256').update(chunk.code).digest('hex').slice(0, 12);
  writeFileSync(`${directory}/version`, `${version}\n`);
  console.error(`agent ${version}: ${Math.round(chunk.code.length / 1024)} KiB`);
}
