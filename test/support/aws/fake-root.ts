import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A directory that scripts of a machine take for its root: their absolute paths are moved below it, and programs that would change this
 * machine are stubs, which note how they were called.
 */
export class FakeRoot {
  readonly path = mkdtempSync(join(tmpdir(), 'slipway-root-'));
  constructor(stubs: Readonly<Record<string, string>> = {}) {
    for (const name of ['systemctl', 'hostname', 'usermod', 'systemd-run', 'nft']) this.stub(name, stubs[name] ?? '');
    for (const [name, text] of Object.entries(stubs)) this.stub(name, text);
    this.write('/etc/hosts', '127.0.0.1 localhost\n');
    this.write('/etc/shadow', 'root:!:1::::::\n');
    for (const directory of ['/run', '/var/lib', '/var/log', '/boot', '/etc/ssh', '/etc/systemd/system', '/opt'])
      mkdirSync(join(this.path, directory), { recursive: true });
  }
  stub(name: string, text: string): void {
    this.write(`/stubs/${name}`, `#!/bin/sh\necho "${name} $*" >>${this.path}/called\n${text}\n`, 0o755);
  }
  /** The text with its absolute paths below this root. */
  moved(text: string): string {
    return text.replaceAll(
      /(?<![\w.$/}])\/(etc|usr\/local|run|var\/lib|var\/log|boot|opt|dev\/disk)(?=[/\s"']|$)/gm,
      `${this.path}/$1`,
    );
  }
  write(path: string, text: string | Uint8Array, mode = 0o644): void {
    mkdirSync(dirname(join(this.path, path)), { recursive: true });
    writeFileSync(join(this.path, path), text, { mode });
  }
  read(path: string): string {
    return readFileSync(join(this.path, path), 'utf8');
  }
  called(): readonly string[] {
    try {
      return this.read('/called').trim().split('\n');
    } catch {
      return [];
    }
  }
  /** Runs a script, its paths moved, on the stdin of sh. */
  run(script: string, args: readonly string[] = []): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const child = spawn('sh', ['-s', ...args], {
        env: { PATH: `${this.path}/stubs:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: this.path },
      });
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
      });
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
      child.stdin.end(this.moved(script));
    });
  }
  close(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
