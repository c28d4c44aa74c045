import { messageOf } from '../errors.ts';
import { openAgent } from './open-agent.ts';

// What scripts/bundle-agent.ts makes one file of: `cluster agent` without the command line around it.
const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(new Error(name)));
try {
  await openAgent({ variables: process.env, log: (line) => console.log(line), signal: stop.signal });
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}
// Connections that are kept alive would keep it alive too.
process.exit();
