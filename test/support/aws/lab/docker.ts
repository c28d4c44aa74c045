import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Docker's command line: stdout, trimmed. Throws with what it said. */
export async function docker(...args: string[]): Promise<string> {
  try {
    const { stdout } = await run('docker', args, { maxBuffer: 16 * 1024 * 1024, timeout: 60_000 });
    return stdout.trim();
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new Error(`docker ${args.slice(0, 3).join(' ')}…: ${said}`);
  }
}

/** Runs a script in a container, fed through stdin. */
export function inContainer(container: string, script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('docker', ['exec', '-i', container, 'sh', '-s'], { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`in ${container}: ${stderr.trim() || error.message}`));
      else resolve(stdout);
    });
    child.stdin?.end(script);
  });
}
