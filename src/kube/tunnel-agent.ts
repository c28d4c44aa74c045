import { Agent, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';

/** TLS over a connection that somebody else opens. */
export class TunnelAgent extends Agent {
  readonly #connect: () => Duplex;
  constructor(options: ConstructorParameters<typeof Agent>[0], connect: () => Duplex) {
    super(options);
    this.#connect = connect;
  }
  override createConnection(options: RequestOptions): Duplex | null | undefined {
    const over: RequestOptions & { readonly socket: Duplex } = { ...options, socket: this.#connect() };
    return super.createConnection(over);
  }
}
