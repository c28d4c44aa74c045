import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { asset, assetsOf, imageName, knownKubernetes, versionsFor } from '../../../src/assets/catalogue.ts';
import { pinsOf } from '../../../src/assets/go-build.ts';
import { recipeFor, recipesOf } from '../../../src/assets/recipes.ts';

describe('the catalogue', () => {
  test('an unknown Kubernetes version is refused with the known ones', () => {
    expect(() => versionsFor('1.20.0')).toThrow(/1\.20\.0.*[\s\S]*1\.36\.3, 1\.35\.4/);
  });

  test('overrides replace single versions', () => {
    const versions = versionsFor('1.36.3', { etcd: '3.5.35' });
    expect(asset('etcd', versions).path).toBe('etcd/3.5.35/etcd');
    expect(versions.containerd).toBe('2.4.2');
  });

  test('images have the names that upstream gives them', () => {
    const versions = versionsFor('1.36.3');
    expect(imageName('coredns', versions)).toBe('registry.k8s.io/coredns/coredns:v1.15.0');
    expect(imageName('metrics-server', versions)).toBe('registry.k8s.io/metrics-server/metrics-server:v0.9.0');
    expect(imageName('pause', versions)).toBe('registry.k8s.io/pause:3.10.2');
  });

  test.each(knownKubernetes)('every asset of %s has one recipe, one path, and pins to build it by', (version) => {
    const versions = versionsFor(version);
    const all = assetsOf(versions);
    expect(new Set(all.map(({ path }) => path)).size).toBe(all.length);
    expect(new Set(all.map((each) => recipeFor(each).group))).toEqual(new Set(recipesOf(versions).map(({ group }) => group)));
    for (const each of all) {
      const { build } = recipeFor(each);
      expect(Object.keys(build?.programs ?? {})).toContain(each.name);
      expect(build && existsSync(join(pinsOf(build), 'go.mod')), `${each.name} ${each.version}`).toBe(true);
    }
  });
});
