import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

const script = 'test/unit/cli/probe.ts';
const probe = (...args: readonly string[]) => answering('', ...args);
const answering = (input: string, ...args: readonly string[]) => {
  const env = { ...process.env, NO_COLOR: '1' };
  const result = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env, input });
  return { code: result.status, out: result.stdout, err: result.stderr };
};
/** Starts a command, sends signals after it has said something, one after the other, and waits for its end. */
const interrupt = async (what: string, ...signals: readonly NodeJS.Signals[]) => {
  const child = spawn(process.execPath, [script, what], { stdio: ['ignore', 'ignore', 'pipe'] });
  let err = '';
  let sent = 0;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
    const signal = signals[sent++];
    if (signal) child.kill(signal);
  });
  const [code] = await once(child, 'close');
  return { code, err };
};

describe('results and errors', { concurrent: true }, () => {
  it('prints data on stdout in the format asked for, with the default file', () => {
    expect(probe('show').out).toBe('file ./cluster.yaml\n');
    expect(JSON.parse(probe('show', '-o', 'json', '-f', 'x.yaml', '--number=3').out)).toEqual({ file: 'x.yaml', number: 3 });
    expect(probe('show', '--output=markdown').out).toBe('**./cluster.yaml**\n');
  });
  it('says what, where, why and what next on stderr, and exits with the code of the error', () => {
    const { code, out, err } = probe('user-error');
    expect({ code, out }).toEqual({ code: 75, out: '' });
    expect(err).toBe('Error: demo: the lock is held\n  by alice\n  since noon\nNext: cluster unlock\n');
  });
  it('says the same as one line of JSON with -o json, and nothing on stdout', () => {
    const { code, out, err } = probe('user-error', '-o', 'json');
    expect({ code, out }).toEqual({ code: 75, out: '' });
    expect(JSON.parse(err)).toEqual({
      error: {
        kind: 'problem',
        exitCode: 75,
        what: 'the lock is held',
        where: 'demo',
        why: 'by alice\nsince noon',
        next: 'cluster unlock',
      },
    });
  });
  it('calls wrong usage wrong usage: exit 64, with the flag that was meant', () => {
    expect(probe('show', '--outptu=json')).toMatchObject({ code: 64, err: expect.stringContaining('Did you mean --output?') });
    expect(probe().code).toBe(64);
    expect(probe('show', '-o', 'xml').code).toBe(64);
    expect(JSON.parse(probe('show', '--number=q', '-o=json').err).error).toMatchObject({ kind: 'usage', exitCode: 64 });
  });
  it('passes on the words of another program as they stand, those that appear twice and those that look like its own flags too', () => {
    const words = ['words', 'sh', '-c', 'echo', 'words', 'sh', '-o', 'json', '--', 'sh'];
    expect(JSON.parse(probe('words', '--number', '1', '--', ...words).out)).toEqual(words);
  });
  it('calls a bug a bug: exit 70, with where it comes from', () => {
    const { code, err } = probe('bug');
    expect(code).toBe(70);
    expect(err).toContain('This is a bug in slipway');
    expect(err).toContain('probe.ts');
  });
  it('reports what is thrown outside of the command the same way, and ends', () => {
    expect(probe('crash')).toMatchObject({ code: 70, err: expect.stringContaining('thrown from a timer') });
  });
  it('does not call a missing file a bug', () => {
    expect(probe('enoent')).toMatchObject({ code: 1, err: expect.stringContaining('Next: Check the path') });
  });
});

describe('events', { concurrent: true }, () => {
  it('are lines on stderr without a terminal, and the result alone is on stdout', () => {
    const { out, err } = probe('live');
    expect(err).toMatch(/^✔ create a \d+ ms\n$/);
    expect(out).toBe('result 42\n');
  });
  it('are lines of JSON on stdout with -o json, and the last line is the result', () => {
    const lines = probe('live', '-o', 'json')
      .out.trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.type)).toEqual(['started', 'done', undefined]);
    expect(lines.at(-1)).toEqual({ answer: 42 });
  });
});

describe('questions', { concurrent: true }, () => {
  it('are an error that names the flag when nobody is there to answer', () => {
    expect(probe('confirm')).toMatchObject({ code: 64, err: expect.stringContaining('--yes') });
  });
  it('are not asked with --yes', () => {
    expect(probe('confirm', '-y')).toMatchObject({ code: 0, err: 'confirmed\n' });
  });
  it('answered with no end the command, or are told to it where it asks on its way', () => {
    expect(answering('n\n', 'confirm-there')).toMatchObject({ code: 1, err: expect.stringContaining('nothing was changed') });
    expect(answering('n\n', 'agrees-there')).toMatchObject({ code: 0, out: 'agrees: false\n' });
    expect(answering('y\n', 'agrees-there')).toMatchObject({ code: 0, out: 'agrees: true\n' });
  });
});

describe('signals', { concurrent: true }, () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s stops cleanly with 130 and says how to go on', async (signal) => {
    const { code, err } = await interrupt('wait', signal);
    expect(code).toBe(130);
    expect(err).toContain('Stopped: Interrupted');
    expect(err).toContain('Run the same command again');
  });
  it('a second Ctrl-C ends a command that does not stop, at once', async () => {
    const { code } = await interrupt('deaf', 'SIGINT', 'SIGINT');
    expect(code).toBe(130);
  });
});

it('goes on quietly when the reader of stdout goes away', () => {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', `"${process.execPath}" ${script} flood | head -1`], {
    encoding: 'utf8',
  });
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'line 0\n', stderr: 'went on\n' });
});
