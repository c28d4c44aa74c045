import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openAssets } from '../../../src/assets/assets.ts';
import { sha256Of } from '../../../src/assets/cache.ts';
import { agentAsset, assetsOf, forProvider, runtimeAsset, versionsFor } from '../../../src/assets/catalogue.ts';
import { recipeFor } from '../../../src/assets/recipes.ts';

const directory = mkdtempSync(join(tmpdir(), 'slipway-own-'));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('what the agent on masters needs', () => {
  test('is an asset of clusters whose machines join by themselves, and of no others', () => {
    const paths = (provider: object) => assetsOf(forProvider(versionsFor('1.36.3'), provider)).map(({ path }) => path);
    expect(paths({ aws: {} })).toEqual(expect.arrayContaining([runtimeAsset.path, agentAsset().path]));
    expect(paths({})).not.toContain(runtimeAsset.path);
  });
  test('is the Node that Slipway is tested with, from nodejs.org with its checksum', () => {
    const { devDependencies } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
    expect(runtimeAsset.version).toBe(devDependencies.node);
    expect(recipeFor(runtimeAsset).upstream?.('node')).toEqual({
      kind: 'archive',
      url: '{node}/dist/v24.21.0/node-v24.21.0-linux-x64.tar.gz',
      checksum: { kind: 'sums', url: '{node}/dist/v24.21.0/SHASUMS256.txt' },
      members: { node: 'node-v24.21.0-linux-x64/bin/node' },
    });
  });
  test.skipIf(process.version !== `v${runtimeAsset.version}`)(
    'is the Node that runs this, where nodejs.org cannot be reached (skipped under another Node)',
    async () => {
      const assets = openAssets({
        directory,
        emit: () => undefined,
        bases: { node: 'http://127.0.0.1:1' },
        patience: { reachMs: 500 },
      });
      const cached = (await assets.ensure([runtimeAsset], AbortSignal.timeout(60_000))).get(runtimeAsset.path);
      expect(cached?.source).toBe('build');
      expect(cached?.sha256).toBe(await sha256Of(process.execPath));
    },
    60_000,
  );
});
