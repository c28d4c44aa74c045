import { describe, expect, it } from 'vitest';
import { execStart } from '../../../src/components/flags.ts';
import { combine, textFile } from '../../../src/components/part.ts';
import { render } from '../../../src/components/template.ts';

describe('render', () => {
  it('fills placeholders and leaves Go templates alone', () => {
    const text = render('config/cni.conflist.tmpl', { mtu: 1450 });
    expect(text).toContain('"mtu": 1450');
    expect(text).toContain('{{ range $i, $cidr := .PodCIDRRanges }}');
  });
  it('fails on a missing value', () => {
    expect(() => render('config/cni.conflist.tmpl')).toThrow('templates/config/cni.conflist.tmpl has {{mtu}}');
  });
  it('fails on an unused value', () => {
    expect(() => render('config/cni.conflist.tmpl', { mtu: 1, colour: 'red' })).toThrow('no placeholder for: colour');
  });
});

describe('execStart', () => {
  it('keeps our variables and takes the words of users literally', () => {
    expect(execStart('/bin/x', { a: '${NODE_IP}', b: undefined, c: true }, { d: '${HOME} "q" \\ 5%' })).toBe(
      ['/bin/x', '--a=${NODE_IP}', '--c=true', '"--d=$${HOME} \\"q\\" \\\\ 5%%"'].join(' \\\n  '),
    );
  });
});

describe('combine', () => {
  it('takes the same file from two parts once', () => {
    expect(combine('x', [{ files: [textFile('/a', '1')] }, { files: [textFile('/a', '1')] }]).files).toHaveLength(1);
  });
  it('refuses two different files of one path', () => {
    expect(() => combine('x', [{ files: [textFile('/a', '1')] }, { files: [textFile('/a', '2')] }])).toThrow('/a');
  });
});
