import { parseAllDocuments, type ScalarTag } from 'yaml';
import { type Ref, ref } from '../plan/resource.ts';
import { render } from './template.ts';

/** A Kubernetes object before Refs are resolved. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: ManifestValue | undefined };
  readonly [field: string]: ManifestValue | undefined;
}
export type ManifestValue =
  | null
  | boolean
  | number
  | string
  | Ref<string>
  | readonly ManifestValue[]
  | { readonly [field: string]: ManifestValue | undefined };

/** The PEM certificates of an authority, in an object: in YAML `!authority nodes`. */
export const authorityPem = (name: string): Ref<string> => ref(`pki.authority/${name}`, 'certificate');
/** The same in base64, as webhooks and APIServices want it (`caBundle`): in YAML `!authorityBase64 nodes`. */
export const authorityBase64 = (name: string): Ref<string> => ref(`pki.authority/${name}`, 'certificateBase64');

const tag = (name: string, resolve: (name: string) => Ref<string>): ScalarTag => ({ tag: `!${name}`, resolve });
const customTags = [tag('authority', authorityPem), tag('authorityBase64', authorityBase64)];

/** The objects of a YAML file below templates/, in its order. Throws on what is no Kubernetes object: that is a bug of the template. */
export function manifest(path: string, values: Readonly<Record<string, string | number>>): readonly KubeObject[] {
  return parseAllDocuments(render(path, values), { customTags }).map((document, index) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) throw new Error(`templates/${path}: ${problem.message}`);
    const object: unknown = document.toJS();
    if (!isKubeObject(object)) throw new Error(`templates/${path}: document ${index + 1} is no Kubernetes object`);
    return object;
  });
}

const isKubeObject = (value: unknown): value is KubeObject =>
  typeof value === 'object' &&
  value !== null &&
  'apiVersion' in value &&
  'kind' in value &&
  'metadata' in value &&
  typeof value.metadata === 'object' &&
  value.metadata !== null &&
  'name' in value.metadata;
