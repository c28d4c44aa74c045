/**
 * Kubernetes versions that can be installed, newest first. The catalogue of assets has what goes with each; a test holds the two together.
 * Here too, because `validate` knows nothing but config.
 */
export const newestKubernetes = '1.36.3';
export const kubernetesVersions: readonly string[] = [newestKubernetes, '1.35.4', '1.34.4', '1.33.13'];
