import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { bundleAgent } from './bundle-agent.ts';

// The last steps of a build. Writes oclif.manifest.json from the built commands (dist/), so that help and finding a command load no command.
// Then the agent, one file. @oclif/core makes manifests itself; the `oclif` package, which is usually used for it, brings hundreds of others.
const root = fileURLToPath(new URL('..', import.meta.url));
const plugin = new Plugin({ root, ignoreManifest: true, errorOnManifestCreate: true, respectNoCacheDefault: true });
await plugin.load();
writeFileSync(`${root}oclif.manifest.json`, `${JSON.stringify(plugin.manifest, undefined, 2)}\n`);
console.error(`oclif.manifest.json: ${Object.keys(plugin.manifest.commands).length} commands`);
await bundleAgent();
