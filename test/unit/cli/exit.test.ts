import { Errors } from '@oclif/core';
import { describe, expect, it } from 'vitest';
import { readEnvironment } from '../../../src/cli/env.ts';
import { outcomeOf } from '../../../src/cli/exit.ts';
import { exitCodes, UnreachableError, UserError } from '../../../src/errors.ts';

describe('what was thrown decides the exit code', () => {
  const system = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
  it.each([
    ['a failure', new UserError({ what: 'x' }), exitCodes.failed, 'problem'],
    ['something unreachable', new UnreachableError({ what: 'x' }), exitCodes.unreachable, 'problem'],
    ['a full disk', system, exitCodes.failed, 'problem'],
    ['a wrong flag', new Errors.CLIError('Nonexistent flag: --x'), exitCodes.usage, 'usage'],
    ['a bug', new TypeError('x is undefined'), exitCodes.bug, 'bug'],
    ['something that is no error', 'thrown text', exitCodes.bug, 'bug'],
    ['an exit', new Errors.ExitError(3), 3, 'silent'],
    ['an interruption', new UserError({ what: 'cut' }, exitCodes.interrupted), exitCodes.interrupted, 'interrupted'],
  ])('%s', (_, error, exitCode, kind) => {
    expect(outcomeOf(error, false)).toMatchObject({ exitCode, kind });
  });
  it('says first what is wrong, where oclif has a heading for it', () => {
    const said =
      'The following error occurred:\n  --yes=true cannot also be provided when using --dry-run\nSee more help with --help';
    expect(outcomeOf(new Errors.CLIError(said), false).problem).toEqual({
      what: '--yes=true cannot also be provided when using --dry-run',
      next: 'See --help',
    });
  });
  it('is 130 for whatever fails after Ctrl-C, and says what failed', () => {
    expect(outcomeOf(new Error('socket closed'), true)).toMatchObject({
      exitCode: 130,
      kind: 'interrupted',
      problem: { what: 'Interrupted', why: 'socket closed' },
    });
  });
});

describe('the environment', () => {
  const read = (env: Record<string, string>, tty = true) =>
    readEnvironment({
      env,
      cwd: () => '/tmp',
      stdin: { isTTY: tty },
      stderr: { isTTY: tty },
      argv: ['node', 'cluster', 'up', '-f', "it's.yaml"],
    });
  it('has the XDG directories, and ignores relative ones as the specification says', () => {
    expect(read({ HOME: '/home/a' })).toMatchObject({
      stateDir: '/home/a/.local/state/slipway',
      configDir: '/home/a/.config/slipway',
      cacheDir: '/home/a/.cache/slipway',
    });
    expect(read({ HOME: '/home/a', XDG_CACHE_HOME: '/c', XDG_STATE_HOME: 'relative' })).toMatchObject({
      cacheDir: '/c/slipway',
      stateDir: '/home/a/.local/state/slipway',
    });
  });
  it('knows whether somebody can answer, and whether a pipeline runs', () => {
    expect(read({ CI: 'true' }, false)).toMatchObject({ isTTY: false, ci: true });
    expect(read({ CI: 'false' })).toMatchObject({ isTTY: true, ci: false });
  });
  it('has the command line as it can be typed again', () => {
    expect(read({}).commandLine).toBe("cluster up -f 'it'\\''s.yaml'");
  });
  it('says so when the current directory is gone', () => {
    const gone = () => {
      throw Object.assign(new Error('ENOENT: uv_cwd'), { code: 'ENOENT' });
    };
    expect(() => readEnvironment({ env: {}, cwd: gone, stdin: {}, stderr: {}, argv: [] })).toThrow(
      'The current directory no longer exists',
    );
  });
});
