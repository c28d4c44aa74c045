import ipaddr from 'ipaddr.js';
import { optionFindings } from '../kubernetes-options.ts';
import { type Component, ownedFlag } from '../owned-flags.ts';
import { type Path, pathText } from '../path.ts';
import { kubernetesVersions } from '../versions.ts';
import { error, type Rule, warning } from './rule.ts';

export const version: Rule = function* ({ kubernetes }) {
  if (kubernetesVersions.includes(kubernetes.version)) return;
  const minor = (text: string): string => text.split('.').slice(0, 2).join('.');
  const same = kubernetesVersions.find((known) => minor(known) === minor(kubernetes.version));
  yield error(
    'kubernetes.version',
    ['kubernetes', 'version'],
    `Kubernetes ${kubernetes.version} is not among the versions that Slipway installs: ${kubernetesVersions.join(', ')}`,
    {
      next: same === undefined ? 'use one of these' : `use ${same}`,
    },
  );
};

export const extraArgs: Rule = function* ({ kubernetes, pools }) {
  const groups: { readonly component: Component; readonly path: Path; readonly args: Readonly<Record<string, string>> }[] = [
    ...(['apiserver', 'controllerManager', 'scheduler', 'kubelet', 'kubeProxy'] as const).map((component) => ({
      component,
      path: ['kubernetes', 'extraArgs', component],
      args: kubernetes.extraArgs[component],
    })),
    ...pools.map((pool, i) => ({
      component: 'kubelet' as const,
      path: ['pools', i, 'kubelet', 'extraArgs'],
      args: pool.kubelet.extraArgs,
    })),
  ];
  for (const { component, path, args } of groups) {
    for (const [flag, value] of Object.entries(args)) {
      const at = [...path, flag];
      if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(flag)) {
        yield error('kubernetes.flag', at, `${JSON.stringify(flag)} in ${pathText(path)} is not the name of a flag`, {
          onKey: true,
          next: flag.startsWith('-')
            ? `write it without dashes: ${flag.replace(/^-+/, '').split('=')[0]}`
            : 'lower-case letters, digits and dashes',
        });
        continue;
      }
      const why = ownedFlag(component, flag);
      if (why !== undefined)
        yield error('kubernetes.flag', at, `Slipway sets --${flag} itself`, {
          onKey: true,
          why,
          next: `remove it from ${pathText(path)}`,
        });
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      if (/[\x00-\x1f\x7f]/.test(value))
        yield error('kubernetes.flag', at, `The value of --${flag} holds a line break or control character`, {
          next: 'write it on one line',
        });
    }
  }
};

export const featureGates: Rule = function* ({ kubernetes }) {
  for (const gate of Object.keys(kubernetes.featureGates)) {
    const path = ['kubernetes', 'featureGates', gate];
    if (!/^[A-Z][A-Za-z0-9]*$/.test(gate))
      yield error('kubernetes.feature-gate', path, `${JSON.stringify(gate)} is not the name of a feature gate`, {
        onKey: true,
        next: 'such as InPlacePodVerticalScaling',
      });
    if (gate === 'AllAlpha' && kubernetes.featureGates[gate])
      yield warning(
        'kubernetes.feature-gate',
        path,
        'AllAlpha switches on what may be removed or lose data in the next version',
        { next: 'name the gates that you need' },
      );
  }
};

/** What the version in the file takes; `upgrade` asks the same of every version on its way. */
export const optionsOfVersion: Rule = (cluster) => optionFindings(cluster, cluster.kubernetes.version);

export const admission: Rule = function* ({ kubernetes: { admission: plugins } }) {
  for (const key of ['enable', 'disable'] as const) {
    for (const [i, plugin] of plugins[key].entries()) {
      const path = ['kubernetes', 'admission', key, i];
      if (!/^[A-Z][A-Za-z0-9]*$/.test(plugin))
        yield error('kubernetes.admission', path, `${JSON.stringify(plugin)} is not the name of an admission plugin`, {
          next: 'such as AlwaysPullImages',
        });
      if (plugins[key].indexOf(plugin) < i)
        yield error('kubernetes.admission', path, `The admission plugin ${plugin} is named twice`);
      if (key === 'disable' && plugins.enable.includes(plugin))
        yield error('kubernetes.admission', path, `The admission plugin ${plugin} is both enabled and disabled`, {
          next: 'remove one of the two',
        });
      if (key === 'disable' && (plugin === 'NodeRestriction' || plugin === 'ServiceAccount'))
        yield error('kubernetes.admission', path, `The admission plugin ${plugin} cannot be left out`, {
          why: 'without it one node or pod could act as any other',
        });
    }
  }
};

export const oidc: Rule = function* ({ kubernetes }) {
  const issuer = kubernetes.oidc?.issuerUrl;
  if (issuer === undefined) return;
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  if (url?.protocol !== 'https:' || url.search !== '' || url.hash !== '')
    yield error(
      'kubernetes.oidc',
      ['kubernetes', 'oidc', 'issuerUrl'],
      `${JSON.stringify(issuer.slice(0, 80))} is not the URL of an issuer`,
      { why: 'the API server takes https only, without query and fragment', next: 'such as https://login.example.com' },
    );
};

export const extraSans: Rule = function* ({ kubernetes }) {
  for (const [i, san] of kubernetes.api.extraSans.entries()) {
    // All digits and dots is an address or a mistake, never a name.
    const isName =
      san.length <= 253 &&
      /^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/i.test(san) &&
      !/^[\d.]+$/.test(san);
    if (!isName && !ipaddr.IPv4.isValidFourPartDecimal(san) && !ipaddr.IPv6.isValid(san))
      yield error(
        'kubernetes.sans',
        ['kubernetes', 'api', 'extraSans', i],
        `${JSON.stringify(san.slice(0, 80))} is neither a DNS name nor an IP address`,
        /[:/]/.test(san) ? { next: 'without scheme and port' } : {},
      );
  }
};

export const podSecurity: Rule = function* ({ kubernetes: { podSecurity: levels } }) {
  const order = ['privileged', 'baseline', 'restricted'];
  if (order.indexOf(levels.warn) < order.indexOf(levels.enforce))
    yield warning(
      'kubernetes.pod-security',
      ['kubernetes', 'podSecurity', 'warn'],
      `podSecurity warns at ${levels.warn} and refuses at ${levels.enforce} already`,
      { next: `set warn to ${levels.enforce} or restricted` },
    );
};
