import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { asset, assetsOf, imageName, knownKubernetes, type Versions, versionsFor } from '../../../src/assets/catalogue.ts';
import { pinsOf } from '../../../src/assets/go-build.ts';
import { recipeFor, recipesOf } from '../../../src/assets/recipes.ts';
import { componentVersions } from '../../../src/config/versions.ts';

describe('the catalogue', () => {
  test('an unknown Kubernetes version is refused with the known ones', () => {
    expect(() => versionsFor('1.20.0')).toThrow(/1\.20\.0.*[\s\S]*1\.36\.3, 1\.36\.2, 1\.35\.4/);
  });

  test('what is chosen replaces single versions, and nothing else', () => {
    const versions = versionsFor('1.36.3', { etcd: '3.5.35', runc: undefined });
    expect(asset('etcd', versions).path).toBe('etcd/3.5.35/etcd');
    expect(versions).toEqual({ ...versionsFor('1.36.3'), etcd: '3.5.35' });
  });

  test('images have the names that upstream gives them', () => {
    const versions = versionsFor('1.36.3');
    expect(imageName('coredns', versions)).toBe('registry.k8s.io/coredns/coredns:v1.15.0');
    expect(imageName('metrics-server', versions)).toBe('registry.k8s.io/metrics-server/metrics-server:v0.9.0');
    expect(imageName('pause', versions)).toBe('registry.k8s.io/pause:3.10.2');
  });

  const older = Object.entries(componentVersions).flatMap(([component, all]) =>
    all.map((version): [string, Versions] => [`${component} ${version}`, versionsFor('1.36.3', { [component]: version })]),
  );
  const each = [...knownKubernetes.map((version): [string, Versions] => [version, versionsFor(version)]), ...older];
  test.each(each)('every asset of %s has one recipe, one path, and pins to build it by', (_, versions) => {
    const all = assetsOf(versions);
    expect(new Set(all.map(({ path }) => path)).size).toBe(all.length);
    expect(new Set(all.map((one) => recipeFor(one).group))).toEqual(new Set(recipesOf(versions).map(({ group }) => group)));
    for (const one of all) {
      const { build } = recipeFor(one);
      expect(Object.keys(build?.programs ?? {})).toContain(one.name);
      expect(build && existsSync(join(pinsOf(build), 'go.mod')), `${one.name} ${one.version}`).toBe(true);
    }
  });

  test.each(knownKubernetes)('what %s runs can be chosen, too', (kubernetes) => {
    const versions = versionsFor(kubernetes);
    for (const [component, all] of Object.entries(componentVersions))
      expect(all, component).toContain(Object.entries(versions).find(([name]) => name === component)?.[1]);
  });
});
