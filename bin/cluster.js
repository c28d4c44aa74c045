#!/usr/bin/env node
import { execute } from '@oclif/core';

await execute({ dir: import.meta.url });
// Connections that are kept alive have nothing more to say: the command has ended, and its exit code is set.
process.exit();
