import type { Answer, Refusal } from './answers.ts';
import type { Service } from './model.ts';
import type { Decoded, Params } from './wire.ts';

/** What the proxy remembers of a request. */
export interface Call {
  /** In the order of arrival, from 1. */
  readonly n: number;
  readonly service: Service;
  readonly action: string;
  readonly account: string;
  readonly params: Params;
  /** Changes something: all but Describe, Get, List, Head and dry runs. */
  readonly mutating: boolean;
  /** `attempt=2; max=10`: the SDK's own retry. */
  readonly attempt: string | undefined;
  /** Milliseconds since the proxy started. */
  readonly at: number;
  readonly bytes: number;
  /** Undefined while it runs, and for a connection that was cut. */
  status?: number;
  /** AWS's code of an error. */
  code?: string;
  /** What the proxy did to it. */
  fault?: string;
  /** What AWS does and moto does not, where this call ran into it. */
  met?: 'hidden' | 'token again' | 'token of a terminated instance';
  /** moto has carried it out, whatever the client saw. */
  committed: boolean;
}

/** One request on its way, for what stands between client and moto. */
export interface Exchange {
  readonly call: Call;
  readonly decoded: Decoded;
  readonly body: Buffer;
  /** Milliseconds, monotonic. */
  now(): number;
  /** Asks moto itself, as the same account and outside of all faults: its answer's document. */
  ask(service: Service, action: string, params?: Readonly<Record<string, string>>): Promise<string>;
}

/**
 * One thing that AWS does and moto does not. `before` may refuse what moto would accept, or answer in its place; `after` may change what
 * moto answers. Both run while no other request is carried out.
 */
export interface Behaviour {
  before?(exchange: Exchange): Promise<Refusal | Answer | undefined> | Refusal | Answer | undefined;
  after?(exchange: Exchange, answer: Answer): Promise<Answer> | Answer;
}

export const isMutating = ({ action, params }: Decoded): boolean =>
  !/^(Describe|Get|List|Head|Simulate|Search)/.test(action) && params.DryRun !== true;

/** A parameter that is a text; undefined for what is none. */
export const textOf = (params: Params, name: string): string | undefined => {
  const value = params[name];
  return typeof value === 'string' ? value : undefined;
};
export const withBody = (answer: Answer, body: string): Answer => ({ ...answer, body: Buffer.from(body) });
