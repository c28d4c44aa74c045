import { minorOf } from '../../assets/version-order.ts';
import { removedKinds } from './removed-kinds.data.ts';

/** The minor version that no longer serves this kind in this version; infinite: none that is known. */
export const goesIn = (apiVersion: string, kind: string): number =>
  removedKinds[`${apiVersion} ${kind}`] ?? Number.POSITIVE_INFINITY;

/** Versions of kinds that go between two versions of Kubernetes. */
export const removedBetween = (from: string, to: string): readonly { readonly apiVersion: string; readonly kind: string }[] =>
  Object.entries(removedKinds)
    .filter(([, minor]) => minor > minorOf(from) && minor <= minorOf(to))
    .map(([name]) => {
      const [apiVersion = '', kind = ''] = name.split(' ');
      return { apiVersion, kind };
    });
