/** Flags that Slipway sets itself: what each follows from, or where it is set in cluster.yaml. Taken as extra arguments they would break the cluster. */
export type Component = 'apiserver' | 'controllerManager' | 'scheduler' | 'kubelet' | 'kubeProxy';

const pki = "it is part of the cluster's PKI";
const etcd = 'it follows from the members of etcd';
const network = 'it follows from network';
const identity = 'it follows from the machine';
const gates = 'set kubernetes.featureGates';
const secure = 'it is part of what makes the cluster secure';
const connection = 'it is how the component reaches its API server';

const common: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/^feature-gates$/, gates],
  [/^(kubeconfig|authentication-kubeconfig|authorization-kubeconfig|bootstrap-kubeconfig|master)$/, connection],
  [/^(client-ca-file|tls-cert-file|tls-private-key-file|cert-dir)$/, pki],
  [/^(profiling|anonymous-auth|authorization-mode|authorization-config|authentication-config)$/, secure],
  [/^config$/, 'Slipway writes that file'],
];
const own: Readonly<Record<Component, readonly (readonly [pattern: RegExp, why: string])[]>> = {
  apiserver: [
    [/^etcd-(servers|servers-overrides|cafile|certfile|keyfile|prefix)$/, etcd],
    [
      /^(kubelet-(certificate-authority|client-.*)|service-account-(key-file|signing-key-file|issuer)|requestheader-.*|proxy-client-.*|api-audiences)$/,
      pki,
    ],
    [/^service-cluster-ip-range$/, network],
    [/^(advertise-address|bind-address|secure-port|external-hostname)$/, identity],
    [/^shutdown-(delay-duration|watch-termination-grace-period)$/, 'it follows from the time that the balancer takes'],
    [/^(enable-admission-plugins|disable-admission-plugins)$/, 'set kubernetes.admission'],
    [/^admission-control-config-file$/, 'set kubernetes.podSecurity'],
    [/^oidc-/, 'set kubernetes.oidc'],
    [/^audit-(log-(path|maxsize|maxbackup)|policy-file)$/, 'set kubernetes.audit'],
    [/^encryption-provider-config/, 'set kubernetes.encryptionAtRest'],
    [/^(token-auth-file|allow-privileged|enable-bootstrap-token-auth)$/, secure],
  ],
  controllerManager: [
    [/^(root-ca-file|cluster-signing-.*|service-account-private-key-file|requestheader-.*)$/, pki],
    [/^(cluster-cidr|service-cluster-ip-range|allocate-node-cidrs|node-cidr-mask-size.*)$/, network],
    [/^(bind-address|secure-port|cluster-name|leader-elect|use-service-account-credentials|cloud-provider)$/, identity],
  ],
  scheduler: [
    [/^(bind-address|secure-port|leader-elect)$/, identity],
    [/^requestheader-/, pki],
  ],
  kubelet: [
    [/^(hostname-override|node-ip|address|port|read-only-port|cloud-provider|provider-id)$/, identity],
    [/^node-labels$/, 'set labels of the pool'],
    [/^register-with-taints$/, 'set taints of the pool'],
    [/^max-pods$/, 'set kubernetes.maxPods'],
    [/^kube-reserved$/, 'set kubeReserved'],
    [/^system-reserved$/, 'set systemReserved'],
    [/^(rotate-certificates|rotate-server-certificates)$/, pki],
    [
      /^(container-runtime-endpoint|image-service-endpoint|cgroup-driver|root-dir|pod-infra-container-image|config-dir)$/,
      'it follows from how containerd is set up',
    ],
    [/^(cluster-dns|cluster-domain|pod-cidr)$/, network],
    [/^authentication-token-webhook$/, secure],
  ],
  kubeProxy: [
    [/^(cluster-cidr|proxy-mode)$/, network],
    [/^(hostname-override|bind-address|healthz-bind-address)$/, identity],
  ],
};

/** Why a flag cannot be set in cluster.yaml; undefined if it can. */
export const ownedFlag = (component: Component, flag: string): string | undefined =>
  [...own[component], ...common].find(([pattern]) => pattern.test(flag))?.[1];
