// A process of its own that fetches kubectl into a cache: `asset-child.ts DIRECTORY URL`.
import { openAssets } from '../../src/assets/assets.ts';
import { asset, versionsFor } from '../../src/assets/catalogue.ts';

const [directory = '', url = ''] = process.argv.slice(2);
const bases = { kubernetes: url, github: url, githubApi: url, registry: url };
const assets = openAssets({ directory, bases, emit: (event) => event.type === 'progress' && console.log('progress') });
const kubectl = asset('kubectl', versionsFor('1.36.3'));
const found = await assets.ensure([kubectl], new AbortController().signal);
console.log(found.get(kubectl.path)?.sha256);
