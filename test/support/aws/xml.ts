/** A small XML reader: elements with children or text, which is all that AWS's bodies are. Attributes and namespaces are dropped. */
export interface Element {
  readonly name: string;
  readonly children: readonly Element[];
  readonly text: string;
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const plainText = (text: string): string =>
  text.replace(/&(#x?[0-9a-f]+|\w+);/gi, (whole, name: string) =>
    name.startsWith('#')
      ? String.fromCodePoint(name[1] === 'x' ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1)))
      : (entities[name] ?? whole),
  );
export const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char] ?? '&quot;');

/** The root element. Throws for what is not well-formed. */
export function parseXml(xml: string): Element {
  interface Open {
    name: string;
    children: Element[];
    text: string;
  }
  const root: Open = { name: '', children: [], text: '' };
  const open: Open[] = [root];
  const tag = /<(\?[^>]*\?|!--[\s\S]*?--|!\[CDATA\[([\s\S]*?)\]\]|(\/?)([^\s/>]+)[^>]*?(\/?))>/g;
  let end = 0;
  for (const match of xml.matchAll(tag)) {
    const here = open.at(-1)!;
    here.text += plainText(xml.slice(end, match.index));
    end = match.index + match[0].length;
    const [, , cdata, closing, name, empty] = match;
    if (cdata !== undefined) here.text += cdata;
    if (name === undefined) continue;
    const plain = name.slice(name.indexOf(':') + 1);
    if (closing) {
      if (here.name !== plain) throw new Error(`</${plain}> closes <${here.name}>`);
      open.pop();
      open.at(-1)!.children.push({ ...here, text: here.children.length > 0 ? '' : here.text });
    } else if (empty) here.children.push({ name: plain, children: [], text: '' });
    else open.push({ name: plain, children: [], text: '' });
  }
  const [only] = root.children;
  if (open.length !== 1 || !only) throw new Error('the document ends within an element');
  return only;
}

/** Every text of that element, wherever it stands. Quick: the document is not parsed. */
export const textsOf = (xml: string, name: string): string[] =>
  [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map((match) => plainText(match[1] ?? ''));

/** A document around the items of one list: `<vpcSet><item>…</item><item>…</item></vpcSet>`. Quick: the document is not parsed. */
export interface Listing {
  readonly before: string;
  readonly items: readonly string[];
  readonly after: string;
}
export function listing(xml: string, list: string, item = 'item'): Listing | undefined {
  const start = xml.indexOf(`<${list}>`);
  if (start < 0) return undefined;
  const from = start + list.length + 2;
  const items: string[] = [];
  let depth = 0;
  let began = 0;
  const tags = new RegExp(`<(/?)(${item}|${list})>`, 'g');
  tags.lastIndex = from;
  for (let match = tags.exec(xml); match; match = tags.exec(xml)) {
    const [, closing, name] = match;
    if (name === list && closing && depth === 0) return { before: xml.slice(0, from), items, after: xml.slice(match.index) };
    if (name !== item) continue;
    if (!closing && depth++ === 0) began = match.index;
    if (closing && --depth === 0) items.push(xml.slice(began, tags.lastIndex));
  }
  return undefined;
}
