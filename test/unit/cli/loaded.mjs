import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

// Preloaded by startup.test.ts: writes the URL of every module that is loaded, a line each, to the file that LOADED_MODULES names.
registerHooks({
  load(url, context, next) {
    appendFileSync(process.env.LOADED_MODULES ?? '/dev/null', `${url}\n`);
    return next(url, context);
  },
});
