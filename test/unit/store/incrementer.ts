import { directoryStore } from '../../../src/store/directory.ts';
import { StoreConflict } from '../../../src/store/store.ts';

/** Run as a process of its own by directory.test.ts. */
const [root = '', times = '0'] = process.argv.slice(2);
const store = directoryStore(root);
for (let done = 0; done < Number(times); ) {
  const object = await store.get('counter');
  if (!object) throw new Error('no counter');
  const next = Number(new TextDecoder().decode(await object.bytes())) + 1;
  try {
    await store.put('counter', new TextEncoder().encode(`${next}`), { ifMatch: object.version });
  } catch (error) {
    if (error instanceof StoreConflict) continue;
    throw error;
  }
  await store.put(`log/${process.pid}-${next}`, new Uint8Array([1]), { ifAbsent: true });
  done++;
}
