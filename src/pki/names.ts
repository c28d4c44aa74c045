/** Our authorities. `nodes` signs kubelets and is the only one whose key lies on masters; the roots' keys are on no machine (hard part 11). */
export const authorityNames = ['kubernetes', 'nodes', 'etcd', 'etcd-peer', 'front-proxy'] as const;
export const authorityLifetimeDays = 3650;

/** Under which name an authority's key (PKCS#8 PEM) is sealed, and used as a file: `{ secret: 'authority.nodes' }`. */
export const authoritySecret = (name: string): string => `authority.${name}`;
