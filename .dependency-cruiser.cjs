// The arrows of docs/architecture.md. A room that is not named as allowed may not be imported: new arrows are added here, on purpose.
const roomsOf = {
  // The engine knows neither Kubernetes nor clouds.
  config: [],
  plan: [],
  run: ['plan', 'store'],
  // What a cluster is made of: pure.
  assets: ['plan'],
  cluster: ['config', 'plan', 'assets', 'components'],
  components: ['config', 'plan', 'assets', 'cluster'],
  // What talks to the world.
  store: ['plan'],
  // Each designs its own resources from the topology.
  host: ['plan', 'assets', 'components', 'cluster'],
  // On masters: what joins and leaves while no command runs.
  agent: ['plan', 'cluster', 'components', 'kube', 'pki'],
  kube: ['config', 'host', 'plan', 'store', 'pki', 'components', 'cluster'],
  etcd: ['host', 'plan', 'assets', 'store', 'components', 'cluster'],
  pki: ['host', 'plan', 'store', 'components', 'cluster'],
  health: ['config', 'plan', 'cluster', 'components', 'assets', 'store', 'host', 'kube', 'etcd', 'pki'],
  rollout: ['config', 'plan', 'run', 'cluster', 'components', 'assets', 'store', 'host', 'kube', 'etcd', 'pki', 'health'],
  recovery: ['config', 'plan', 'run', 'cluster', 'components', 'assets', 'store', 'host', 'kube', 'etcd', 'pki', 'health'],
  lifecycle: [
    'config',
    'plan',
    'run',
    'cluster',
    'components',
    'assets',
    'store',
    'host',
    'kube',
    'etcd',
    'pki',
    'health',
    'rollout',
    'recovery',
  ],
};
const all = Object.keys(roomsOf);
const room = (name) => `^src/${name}/`;

/** Types describe data that views draw and contracts that providers implement: they cost nothing at run time, so they may go further. */
const typeOnly = { dependencyTypesNot: ['type-only'] };

const roomRules = Object.entries(roomsOf).map(([name, allowed]) => ({
  name: `${name}-imports-only-${allowed.join('-') || 'nothing'}`.slice(0, 80),
  severity: 'error',
  from: { path: room(name) },
  to: {
    path: '^(src|providers)/',
    pathNot: [
      room(name),
      '^src/errors[.]ts$',
      ...allowed.map(room),
      ...(allowed.includes('cluster') ? ['^src/provider[.]ts$'] : []),
    ],
    // The contracts of other rooms (Event, Finding, Cluster) may be named as types by all but the engine.
    ...(['config', 'plan'].includes(name) ? {} : typeOnly),
  },
}));

module.exports = {
  forbidden: [
    ...roomRules,
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'ui-draws-data-only',
      comment: 'Views know the shapes of what they draw, how a lane is read, and nothing that acts.',
      severity: 'error',
      from: { path: room('ui') },
      to: { path: '^(src|providers)/', pathNot: [room('ui'), room('plan'), '^src/(errors|rollout/turns)[.]ts$'], ...typeOnly },
    },
    {
      name: 'commands-are-imported-by-nobody',
      severity: 'error',
      from: { pathNot: '^src/commands/' },
      to: { path: '^src/commands/' },
    },
    {
      name: 'cli-and-ui-are-imported-by-commands-only',
      severity: 'error',
      from: { path: `^(src/(${all.join('|')})|providers)/` },
      to: { path: '^src/(cli|ui)/' },
    },
    {
      name: 'only-open-imports-a-provider',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/open[^/]*[.]ts$' },
      to: { path: '^providers/' },
    },
    {
      name: 'providers-stand-on-contracts',
      severity: 'error',
      from: { path: '^providers/([^/]+)/' },
      to: {
        path: '^(src|providers)/',
        pathNot: [
          '^providers/$1/',
          '^src/(provider|errors)[.]ts$',
          ...['plan', 'cluster', 'config', 'store', 'host', 'assets', 'agent'].map(room),
        ],
      },
    },
    {
      name: 'no-development-packages-at-run-time',
      severity: 'error',
      from: { path: '^(src|providers)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'only-declared-packages',
      severity: 'error',
      from: { path: '^(src|providers)/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    { name: 'nothing-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: 'specify',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
