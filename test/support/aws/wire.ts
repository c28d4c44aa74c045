import type { IncomingHttpHeaders } from 'node:http';
import { inputOf, isService, type Member, type Model, modelOf, type Operation, type Service, type Shape } from './model.ts';
import { type Element, parseXml } from './xml.ts';

/** A request as it came over the wire. */
export interface WireRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}
export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };
export type Params = Readonly<Record<string, Value>>;

/** What a request asks for, in the words of AWS's model whatever the protocol. */
export interface Decoded {
  readonly service: Service;
  readonly action: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly model: Model;
  readonly params: Params;
  /** What stands in the request and not in the model. */
  readonly unknown: readonly string[];
}

/** undefined: not signed, or for a service that this project does not call. */
export function decode(request: WireRequest): Decoded | undefined {
  const signature = /Credential=([^/]+)\/\d+\/([^/]+)\/([^/]+)\//.exec(request.headers.authorization ?? '');
  const [, accessKeyId = '', region = '', signed = ''] = signature ?? [];
  // Only the version of their API tells classic load balancers from the others.
  const name = signed === 'elasticloadbalancing' && request.body.includes('Version=2012-06-01') ? 'elb' : signed;
  if (!isService(name)) return undefined;
  const model = modelOf(name);
  const body = bodyOf(name, model, request);
  return body && { service: name, region, accessKeyId, model, ...body };
}

type Body = Pick<Decoded, 'action' | 'params' | 'unknown'>;
function bodyOf(service: Service, model: Model, request: WireRequest): Body | undefined {
  const { protocol } = model.metadata;
  if (protocol === 'rest-xml') return decodeRest(service, model, request);
  if (protocol === 'json') {
    const target = request.headers['x-amz-target'];
    const action = typeof target === 'string' ? (target.split('.').pop() ?? '') : '';
    const params: Params = JSON.parse(request.body.toString() || '{}');
    const known = inputOf(model, action)?.members ?? {};
    return { action, params, unknown: Object.keys(params).filter((key) => !(key in known)) };
  }
  return decodeForm(model, request.body.toString());
}

// --- The two query protocols: a form whose keys are paths (Filter.1.Value.2) ------------------------------------------------------------

interface Tree {
  value?: string;
  readonly below: Map<string, Tree>;
}

function decodeForm(model: Model, body: string): Body | undefined {
  const root: Tree = { below: new Map() };
  let action: string | undefined;
  for (const [key, value] of new URLSearchParams(body)) {
    if (key === 'Action') action = value;
    if (key === 'Action' || key === 'Version') continue;
    let node = root;
    for (const part of key.split('.')) {
      const next: Tree = node.below.get(part) ?? { below: new Map() };
      node.below.set(part, next);
      node = next;
    }
    node.value = value;
  }
  if (action === undefined) return undefined;
  const unknown: string[] = [];
  const shape = inputOf(model, action);
  const params = shape ? structure(model, shape, root, '', unknown) : {};
  return { action, params, unknown: shape ? unknown : [...root.below.keys()] };
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const formName = (model: Model, name: string, member: Member): string =>
  model.metadata.protocol === 'ec2'
    ? (member.queryName ?? capital(member.locationName ?? name))
    : (flatName(model, member) ?? member.locationName ?? name);
/** A flattened list of the query protocol goes by its members' name. */
const flatName = (model: Model, member: Member): string | undefined => {
  const shape = model.shapes[member.shape];
  return shape?.type === 'list' && shape.flattened ? shape.member?.locationName : undefined;
};

function structure(model: Model, shape: Shape, tree: Tree, at: string, unknown: string[]): Params {
  const found: Record<string, Value> = {};
  const left = new Set(tree.below.keys());
  for (const [name, member] of Object.entries(shape.members ?? {})) {
    const key = formName(model, name, member);
    const below = tree.below.get(key);
    if (!below) continue;
    left.delete(key);
    found[name] = fromTree(model, member, below, `${at}${name}`, unknown);
  }
  for (const key of left) unknown.push(`${at}${key}`);
  return found;
}

function fromTree(model: Model, member: Member, tree: Tree, at: string, unknown: string[]): Value {
  const shape = model.shapes[member.shape];
  if (!shape) return tree.value ?? null;
  if (shape.type === 'structure') return structure(model, shape, tree, `${at}.`, unknown);
  const flat = model.metadata.protocol === 'ec2' || shape.flattened === true || member.flattened === true;
  if (shape.type === 'list') {
    if (tree.value === '') return [];
    const numbered = flat ? tree : tree.below.get(shape.member?.locationName ?? 'member');
    const entries = [...(numbered?.below ?? [])].sort(([a], [b]) => Number(a) - Number(b));
    const inner = shape.member;
    return inner ? entries.map(([n, entry]) => fromTree(model, inner, entry, `${at}.${n}`, unknown)) : [];
  }
  if (shape.type === 'map') {
    const entries = (flat ? tree : tree.below.get('entry'))?.below.values() ?? [];
    return Object.fromEntries([...entries].map((entry) => [text(entry.below.get('key')), text(entry.below.get('value'))]));
  }
  for (const key of tree.below.keys()) unknown.push(`${at}.${key}`);
  return scalar(shape, tree.value ?? '');
}
const text = (tree: Tree | undefined): string => tree?.value ?? '';

/** What says nothing in its type stays the text that it is: validation tells. */
function scalar(shape: Shape, value: string): Value {
  if (['integer', 'long', 'float', 'double'].includes(shape.type)) {
    const number = Number(value);
    return value === '' || Number.isNaN(number) ? value : number;
  }
  if (shape.type === 'boolean') return value === 'true' ? true : value === 'false' ? false : value;
  return value;
}

// --- rest-xml: a path, a query, headers, and a document ------------------------------------------------------------------------------

interface Route {
  readonly operation: Operation;
  readonly path: RegExp;
  readonly names: readonly string[];
  readonly query: ReadonlyMap<string, string>;
  /** Of query and headers, without which it is another operation. */
  readonly needs: readonly string[];
}
const routesOf = new Map<Model, readonly Route[]>();

function routes(model: Model): readonly Route[] {
  const known = routesOf.get(model);
  if (known) return known;
  const made = Object.values(model.operations).map((operation): Route => {
    const [path = '', query = ''] = operation.http.requestUri.split('?');
    const names: string[] = [];
    const pattern = path.replace(/\/\{(\w+)(\+?)\}/g, (_whole, name: string, greedy: string) => {
      names.push(name);
      return greedy ? '/(.+)' : '/([^/]+)';
    });
    const needs = requiredQuery(model, operation);
    return {
      operation,
      names,
      needs,
      path: new RegExp(`^${pattern.replace(/\/$/, '')}/?$`),
      query: new Map(new URLSearchParams(query)),
    };
  });
  // Constants of the query tell ?versioning from the bucket itself: what names more of them is asked first. PutBucketLifecycle has the
  // same path as what has replaced it.
  const old = ({ operation }: Route): number => Number(operation.deprecated ?? false);
  const constraints = ({ query, needs }: Route): number => query.size + needs.length;
  made.sort((a, b) => constraints(b) - constraints(a) || a.names.length - b.names.length || old(a) - old(b));
  routesOf.set(model, made);
  return made;
}

function decodeRest(service: Service, model: Model, request: WireRequest): Body | undefined {
  const url = new URL(request.url, 'http://localhost');
  const query = url.searchParams;
  // What the SDK adds to tell its own operations apart.
  query.delete('x-id');
  const found = routes(model)
    .filter(({ operation, path, query: constants }) => {
      if (operation.http.method !== request.method || !path.test(url.pathname)) return false;
      return [...constants].every(([key, value]) => query.has(key) && (value === '' || query.get(key) === value));
    })
    .find((route) => route.needs.every((name) => query.has(name) || name in request.headers));
  if (!found) return undefined;
  const { operation, names, path, query: constants } = found;
  const shape = inputOf(model, operation.name);
  const parts = path.exec(url.pathname)?.slice(1) ?? [];
  const uri = new Map(names.map((name, n) => [name, decodeURIComponent(parts[n] ?? '')]));
  const params: Record<string, Value> = {};
  const left = new Set([...query.keys()].filter((key) => !constants.has(key)));
  for (const [name, member] of Object.entries(shape?.members ?? {})) {
    const at = member.locationName ?? name;
    const of = model.shapes[member.shape];
    if (!of) continue;
    const value =
      member.location === 'uri'
        ? uri.get(at)
        : member.location === 'querystring'
          ? (query.get(at) ?? undefined)
          : member.location === 'header'
            ? headerOf(request, at)
            : undefined;
    if (member.location === 'querystring') left.delete(at);
    if (value !== undefined) params[name] = scalar(of, value);
    if (member.location === 'headers') {
      const given = Object.entries(request.headers).filter(([key]) => key.startsWith(at.toLowerCase()));
      if (given.length > 0) params[name] = Object.fromEntries(given.map(([key, of]) => [key.slice(at.length), String(of)]));
    }
  }
  const unknown = [...left];
  if (shape) Object.assign(params, document(service, model, shape, request.body, unknown));
  return { action: operation.name, params, unknown };
}
const headerOf = (request: WireRequest, name: string): string | undefined => {
  const value = request.headers[name.toLowerCase()];
  return typeof value === 'string' ? value : undefined;
};
/** Members without which it is another operation: ?uploadId for UploadPart, x-amz-copy-source for CopyObject. */
function requiredQuery(model: Model, operation: Operation): string[] {
  const shape = inputOf(model, operation.name);
  return (shape?.required ?? []).flatMap((name) => {
    const member = shape?.members?.[name];
    const at = member?.locationName ?? name;
    if (member?.location === 'querystring') return [at];
    return member?.location === 'header' ? [at.toLowerCase()] : [];
  });
}

function document(service: Service, model: Model, shape: Shape, body: Buffer, unknown: string[]): Params {
  const payload = shape.payload === undefined ? undefined : shape.members?.[shape.payload];
  if (shape.payload !== undefined && payload) {
    const of = model.shapes[payload.shape];
    if (of?.type !== 'structure') return body.length > 0 ? { [shape.payload]: `${body.length} bytes` } : {};
    return body.length > 0
      ? { [shape.payload]: fromElement(model, payload, parseXml(body.toString()), shape.payload, unknown) }
      : {};
  }
  if (body.length === 0 || service === 's3') return {};
  return fields(model, shape, parseXml(body.toString()), '', unknown);
}

function fields(model: Model, shape: Shape, element: Element, at: string, unknown: string[]): Params {
  const found: Record<string, Value> = {};
  const left = new Set(element.children.map(({ name }) => name));
  for (const [name, member] of Object.entries(shape.members ?? {})) {
    if (member.location !== undefined) continue;
    const of = model.shapes[member.shape];
    const flat = of?.type === 'list' && (of.flattened === true || member.flattened === true);
    const key = (flat ? of?.member?.locationName : undefined) ?? member.locationName ?? name;
    const names = flat ? [member.locationName ?? name, key] : [key];
    const given = element.children.filter((child) => names.includes(child.name));
    const [only] = given;
    if (!only) continue;
    for (const child of names) left.delete(child);
    const inner = of?.member;
    found[name] =
      flat && inner
        ? given.map((child, n) => fromElement(model, inner, child, `${at}${name}.${n}`, unknown))
        : fromElement(model, member, only, `${at}${name}`, unknown);
  }
  for (const name of left) unknown.push(`${at}${name}`);
  return found;
}

function fromElement(model: Model, member: Member, element: Element, at: string, unknown: string[]): Value {
  const shape = model.shapes[member.shape];
  if (!shape) return element.text;
  if (shape.type === 'structure') return fields(model, shape, element, `${at}.`, unknown);
  const inner = shape.member;
  if (shape.type === 'list' && inner)
    return element.children.map((child, n) => fromElement(model, inner, child, `${at}.${n}`, unknown));
  return scalar(shape, element.text);
}
