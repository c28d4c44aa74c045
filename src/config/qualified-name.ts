/** Syntax of labels and taints: Kubernetes, "Labels and Selectors"; apimachinery/pkg/util/validation. */
const nameSyntax = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Why Kubernetes refuses this key; undefined if it does not. */
export function badKey(key: string): string | undefined {
  const parts = key.split('/');
  if (parts.length > 2) return 'it may have one slash, after the prefix';
  const [prefix, name = ''] = parts.length === 2 ? [parts[0], parts[1]] : [undefined, parts[0]];
  if (prefix !== undefined && (prefix.length > 253 || !subdomain.test(prefix)))
    return 'the part before the slash must be a DNS name such as example.com';
  if (name.length === 0) return 'the name is empty';
  if (name.length > 63) return `the name has ${name.length} characters; 63 are allowed`;
  return nameSyntax.test(name)
    ? undefined
    : 'the name must be letters, digits, dashes, dots and underscores, with a letter or digit at both ends';
}

/** Why Kubernetes refuses this value of a label or taint; undefined if it does not. */
export function badValue(value: string): string | undefined {
  if (value.length > 63) return `it has ${value.length} characters; 63 are allowed`;
  return value === '' || nameSyntax.test(value)
    ? undefined
    : 'it must be letters, digits, dashes, dots and underscores, with a letter or digit at both ends';
}

/** The prefix, if it belongs to Kubernetes. */
export function kubernetesPrefix(key: string): string | undefined {
  const prefix = key.includes('/') ? key.slice(0, key.indexOf('/')) : '';
  return /(^|\.)(kubernetes|k8s)\.io$/.test(prefix) ? prefix : undefined;
}
