import { createServer, type Server } from 'node:http';
import { packed } from '../../src/host/converge.ts';
import { sha256 } from '../../src/plan/canonical.ts';

interface Published {
  readonly control: string;
  readonly file: Buffer;
}

/** A Debian repository over HTTP: one flat directory of packages of every architecture, unsigned. */
export class AptRepository {
  /** It answers nobody. */
  down = false;
  readonly #published = new Map<string, Published>();
  #server: Server | undefined;
  #url = '';

  /** Listens where machines reach it. */
  async open(address: string): Promise<void> {
    const server = createServer((request, response) => {
      // apt asks for `/./Packages`.
      const path = new URL(request.url ?? '', this.#url).pathname.slice(1);
      const body = path === 'Packages' ? this.#index() : this.#published.get(path)?.file;
      if (this.down) request.socket.destroy();
      else if (body === undefined) response.writeHead(404).end();
      else response.end(body);
    });
    await new Promise<void>((listening) => server.listen(0, address, listening));
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('no port');
    this.#server = server;
    this.#url = `http://${address}:${bound.port}`;
  }
  close(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }
  /** The line of sources.list. */
  get source(): string {
    return `deb [trusted=yes] ${this.#url} ./`;
  }
  /** A package that holds one file, `/usr/share/NAME`, with its version. An older version of it goes. */
  async publish(name: string, version: string, postinst?: string): Promise<void> {
    for (const path of this.#published.keys()) if (path.startsWith(`${name}_`)) this.#published.delete(path);
    const control = [
      `Package: ${name}`,
      `Version: ${version}`,
      'Architecture: all',
      'Maintainer: test <test@example.com>',
      'Description: test',
    ].join('\n');
    const script = postinst === undefined ? [] : [{ name: './postinst', mode: '0755', content: `#!/bin/sh\n${postinst}\n` }];
    const file = archive([
      ['debian-binary', Buffer.from('2.0\n')],
      ['control.tar', await packed([{ name: './control', mode: '0644', content: `${control}\n` }, ...script])],
      ['data.tar', await packed([{ name: `./usr/share/${name}`, mode: '0644', content: `${version}\n` }])],
    ]);
    this.#published.set(`${name}_${version}_all.deb`, { control, file });
  }
  #index(): string {
    return [...this.#published]
      .map(([path, { control, file }]) => `${control}\nFilename: ./${path}\nSize: ${file.length}\nSHA256: ${sha256(file)}\n`)
      .join('\n');
  }
}

/** Of `ar`, as deb(5) has it. */
function archive(members: readonly (readonly [string, Buffer])[]): Buffer {
  const parts = members.flatMap(([name, content]) => [
    Buffer.from(
      `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(content.length).padEnd(10)}\`\n`,
    ),
    content,
    ...(content.length % 2 === 0 ? [] : [Buffer.from('\n')]),
  ]);
  return Buffer.concat([Buffer.from('!<arch>\n'), ...parts]);
}
