import { describe, expect, test } from 'vitest';
import { parseObserve } from '../../../src/host/observe.ts';

const sum = (letter: string): string => letter.repeat(64);
interface Said {
  readonly head?: string;
  readonly sums?: string;
  readonly units?: string;
  readonly text?: string;
}
const output = ({ head = '', sums = '', units = '', text = '' }: Said = {}): string =>
  `boot 0-1\ngeneration 3\n${head}--- sums\n${sums}--- stat
600 root 1795232322.380 /run/slipway/clock
640 root 1795232322.380 /etc/a.conf
--- units\n${units}--- text\n${text}--- probes\n--- end\n`;

/** A running unit with one input, and what it recorded at its start. */
const running = (record: string | undefined, { now = sum('a'), job = '', applied = sum('b') } = {}) =>
  parseObserve(
    output({
      head: `bundle demo\nfile /etc/a.conf\nunit a.service serving ${applied}\ninput a.service /etc/a.conf\n`,
      sums: `${now}  /etc/a.conf\n${sum('b')}  /etc/systemd/system/a.service\n`,
      units: `Id=a.service\nActiveState=active\nUnitFileState=enabled\n${job}`,
      text: record === undefined ? '' : `/run/slipway/inputs/a.service\n${record}`,
    }),
  ).units.get('a.service');
const recorded = ` ${sum('a')}  /etc/a.conf\n ${sum('b')}  /etc/systemd/system/a.service\n`;

describe('what a host says', () => {
  test('of a host without a manifest is a clock, a boot and a generation', () => {
    expect(parseObserve(output())).toMatchObject({ bootId: '0-1', generation: 3, clockMs: 1795232322380, bundle: undefined });
  });
  test('that was cut short is an error, as is a line that nobody knows', () => {
    expect(() => parseObserve(output().replace('--- end\n', ''))).toThrow(/cut/);
    expect(() => parseObserve(output({ head: 'surprise x\n' }))).toThrow(/surprise/);
  });
  test('lists a file that should be there and is not', () => {
    const { files } = parseObserve(output({ head: 'file /etc/a.conf\nfile /etc/b.conf\n', sums: `${sum('a')}  /etc/a.conf\n` }));
    expect(files.get('/etc/a.conf')).toEqual({ sha256: sum('a'), mode: '0640' });
    expect([...files.keys()]).toContain('/etc/b.conf');
    expect(files.get('/etc/b.conf')).toBeUndefined();
  });
  test('takes a line of a certificate that begins with a slash for what it is', () => {
    const body = '-----BEGIN CERTIFICATE-----\n/etc/slash\n-----END CERTIFICATE-----\n';
    const { certificates } = parseObserve(
      output({ head: 'certificate c /etc/c.pem fits\n', text: `/etc/c.pem\n${body.replaceAll(/^(?=.)/gm, ' ')}` }),
    );
    expect(certificates.get('c')).toEqual({ pem: body, keyFits: true });
  });
});

test('a unit that was held back, or changed by hand, is not that of the last bundle', () => {
  expect(running(recorded)).toMatchObject({ asApplied: true, serving: true });
  expect(running(recorded, { applied: sum('d') })).toMatchObject({ asApplied: false, serving: true });
});

describe('a unit is stale', () => {
  test('when an input lies there that it did not read', () => {
    expect(running(recorded)?.stale).toBe(false);
    expect(running(recorded, { now: sum('c') })?.stale).toBe(true);
    expect(running(recorded.replace(sum('b'), sum('c')))?.stale).toBe(true);
  });
  test('when it runs without ever having recorded what it read', () => {
    expect(running(undefined)?.stale).toBe(true);
  });
  test('when an input was missing at its start and is there now', () => {
    const missing = ` sha256sum: /etc/a.conf: No such file or directory\n ${sum('b')}  /etc/systemd/system/a.service\n`;
    expect(running(missing)?.stale).toBe(true);
  });
  test('but not for an input that the manifest learned of later', () => {
    expect(running(` ${sum('b')}  /etc/systemd/system/a.service\n`)?.stale).toBe(false);
  });
  test('but not while its restart is queued', () => {
    expect(running(recorded, { now: sum('c'), job: 'Job=17\n' })?.stale).toBe(false);
  });
});
