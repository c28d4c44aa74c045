#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';

// What V8 has compiled is kept beside the assets: a fifth of the time until a command begins. Where nothing can be written nothing is kept.
const { XDG_CACHE_HOME: cache = '' } = process.env;
enableCompileCache(join(isAbsolute(cache) ? cache : join(homedir(), '.cache'), 'slipway', 'compiled'));
// After that line, and so not above it.
const { execute } = await import('@oclif/core');

// The heap grows by so much of what is alive before garbage is collected; V8's own choice is up to 300. Of 1,000 nodes that are upgraded it is 450 MB instead
// of 600, and no slower (bench/rollout-1000.ts).
setFlagsFromString('--heap-growing-percent=40');
// A reader that went away (`| head`) leaves oclif waiting for its last words to be read, with nothing else to do: that is the end, too.
process.once('beforeExit', () => process.exit());
await execute({ dir: import.meta.url });
// Connections that are kept alive have nothing more to say: the command has ended, and its exit code is set.
process.exit();
