import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { motoHome } from './moto.ts';

/**
 * AWS's own models of its services, as botocore (which moto stands on) carries them: names on the wire, required members, types, enums,
 * lengths, patterns. The JavaScript SDK is generated from the same models, but keeps neither enums nor constraints of requests, and drops
 * members that it does not know.
 */
export interface Shape {
  readonly type:
    | 'structure'
    | 'list'
    | 'map'
    | 'string'
    | 'integer'
    | 'long'
    | 'float'
    | 'double'
    | 'boolean'
    | 'timestamp'
    | 'blob';
  readonly members?: Readonly<Record<string, Member>>;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly pattern?: string;
  readonly member?: Member;
  readonly key?: Member;
  readonly value?: Member;
  readonly flattened?: boolean;
  readonly payload?: string;
}
export interface Member {
  readonly shape: string;
  readonly locationName?: string;
  readonly location?: 'uri' | 'querystring' | 'header' | 'headers';
  readonly queryName?: string;
  readonly flattened?: boolean;
  readonly idempotencyToken?: boolean;
  readonly streaming?: boolean;
}
export interface Operation {
  readonly name: string;
  readonly http: { readonly method: string; readonly requestUri: string };
  readonly input?: { readonly shape: string };
  readonly output?: { readonly shape: string };
  readonly deprecated?: boolean;
}
export interface Model {
  readonly metadata: { readonly protocol: 'ec2' | 'query' | 'rest-xml' | 'json'; readonly targetPrefix?: string };
  readonly operations: Readonly<Record<string, Operation>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** Signing name → botocore's directory, for those that differ. */
const directories: Readonly<Record<string, string>> = { elasticloadbalancing: 'elbv2', servicequotas: 'service-quotas' };
/** The services that this project calls, by the name in a request's signature; but classic load balancers, signed as the others are, by `elb`. */
const services = [
  'ec2',
  'autoscaling',
  'elasticloadbalancing',
  'elb',
  'iam',
  'sts',
  's3',
  'route53',
  'servicequotas',
  'pricing',
] as const;
export type Service = (typeof services)[number];
export const isService = (name: string): name is Service => services.some((service) => service === name);

const loaded = new Map<Service, Model>();
/** Throws where moto is not installed. */
export function modelOf(service: Service): Model {
  const known = loaded.get(service);
  if (known) return known;
  const lib = join(motoHome(), 'lib');
  const python = readdirSync(lib).find((name) => name.startsWith('python3'));
  const versions = join(lib, python ?? '', 'site-packages/botocore/data', directories[service] ?? service);
  const newest = readdirSync(versions).sort().at(-1) ?? '';
  const model: Model = JSON.parse(gunzipSync(readFileSync(join(versions, newest, 'service-2.json.gz'))).toString());
  loaded.set(service, model);
  return model;
}

/** The shape of a request, where it has members at all. */
export function inputOf(model: Model, action: string): Shape | undefined {
  const name = model.operations[action]?.input?.shape;
  return name === undefined ? undefined : model.shapes[name];
}

/** The name of the member that is this action's idempotency token: ClientToken mostly. */
export function tokenOf(model: Model, action: string): string | undefined {
  const members = Object.entries(inputOf(model, action)?.members ?? {});
  return members.find(([name, { idempotencyToken }]) => idempotencyToken || name === 'ClientToken')?.[0];
}
