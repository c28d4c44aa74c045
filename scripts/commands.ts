import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The commands as oclif's manifest describes them, from the sources (built ones may be old). */
export async function readCommands() {
  const pjson = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const plugin = new Plugin({
    root,
    pjson: { ...pjson, oclif: { ...pjson.oclif, commands: './src/commands' } },
    ignoreManifest: true,
    errorOnManifestCreate: true,
    respectNoCacheDefault: true,
  });
  await plugin.load();
  return plugin.manifest;
}
