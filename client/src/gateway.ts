// The connection to Centrifugo: connect data with the newest token and resume token, calls, and our inbox. `centrifuge`
// reconnects; this file says who we are each time, and what each reconnect means.
import { Centrifuge, type Options } from "centrifuge";
import { Code, fromCall, StarlingError } from "./errors.js";
import { type Incoming, readInbox, readWelcome, VERSION, type Welcome } from "./protocol.js";

/** What a gateway tells. None of these may throw. */
export interface GatewayListener {
  /** Connected, and the inbox is live. `recovered` says whether it holds everything sent while we were away. */
  up(welcome: Welcome, recovered: boolean): void;
  /** The connection is away; `up` follows when it is back. */
  down(): void;
  signals(signals: Incoming[]): void;
  /** Something that passes. */
  trouble(error: StarlingError): void;
  /** The server refuses us; nothing follows. */
  refused(error: StarlingError): void;
}

/** The part of a gateway that a swarm needs. */
export interface Calls {
  start(): void;
  /** Rejects with a `StarlingError`. */
  call(method: string, data: object): Promise<unknown>;
  /** Publishes to a peer's inbox; resolves when it is published. Rejects with a `StarlingError`. */
  publish(to: string, data: object): Promise<void>;
  stop(): void;
}

export interface GatewayOptions {
  readonly url: string;
  readonly token: () => string | Promise<string>;
  /** Asked for with the first connect, so that one round trip reaches the first peers. */
  readonly first: { readonly swarm: string };
}

export class Gateway implements Calls {
  readonly #options: GatewayOptions;
  readonly #listener: GatewayListener;
  readonly #centrifuge: Centrifuge;
  #welcome: Welcome | undefined;
  #resume: string | undefined;
  #isUp = false;
  #stopped = false;

  constructor(options: GatewayOptions, listener: GatewayListener, more: Partial<Options> = {}) {
    this.#options = options;
    this.#listener = listener;
    this.#centrifuge = new Centrifuge(options.url, { ...more, name: "starling", getData: () => this.#connectData() });
    this.#listen();
  }

  /** Throws a `StarlingError` when the address cannot be used or there is no WebSocket. */
  start(): void {
    try {
      this.#centrifuge.connect();
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new StarlingError(Code.options, message, false, { cause });
    }
  }

  async call(method: string, data: object): Promise<unknown> {
    return (await this.#asked(() => this.#centrifuge.rpc(method, data))).data;
  }

  async publish(to: string, data: object): Promise<void> {
    await this.#asked(() => this.#centrifuge.publish(inboxOf(to), data));
  }

  stop(): void {
    this.#stopped = true;
    this.#centrifuge.disconnect();
    this.#centrifuge.removeAllListeners();
  }

  async #asked<Reply>(ask: () => Promise<Reply>): Promise<Reply> {
    if (this.#stopped) throw new StarlingError(Code.left, "the swarm was left");
    try {
      return await ask();
    } catch (thrown) {
      throw fromCall(thrown);
    }
  }

  /** The resume token keeps our id; it lives in memory only, as whoever has it can take our place. */
  async #connectData(): Promise<object> {
    const token = await this.#token();
    return {
      v: VERSION,
      token,
      ...(this.#resume !== undefined && { resume: this.#resume }),
      // Later nobody, but the policy of this swarm: else it would be the usual one until the next report.
      first: this.#welcome === undefined ? this.#options.first : { swarm: this.#options.first.swarm, want: 0 },
    };
  }

  async #token(): Promise<string> {
    try {
      return await this.#options.token();
    } catch (cause) {
      const error = new StarlingError(Code.token, "getToken failed", true, { cause });
      if (!this.#stopped) this.#listener.trouble(error);
      throw error;
    }
  }

  #listen(): void {
    this.#centrifuge.on("connected", ({ data }) => this.#onConnected(data));
    // These follow `connected` in the same turn: first this, then what was missed. Who sent a publication stands in its
    // data; the `info` beside it, which the gateway adds when a peer published it, names nobody that we know.
    this.#centrifuge.on("subscribed", ({ channel, recovered }) => {
      if (channel === this.#inbox && !this.#isUp) this.#onInbox(recovered);
    });
    this.#centrifuge.on("publication", ({ channel, data }) => {
      if (channel === this.#inbox) this.#listener.signals(readInbox(data));
    });
    this.#centrifuge.on("connecting", () => {
      if (!this.#isUp) return;
      this.#isUp = false;
      this.#listener.down();
    });
    this.#centrifuge.on("disconnected", ({ code, reason }) => {
      if (!this.#stopped) this.#refused(new StarlingError(code, reason));
    });
    this.#centrifuge.on("error", ({ type, error }) => {
      // A failing `getToken` was told already, with its cause.
      if (type !== "connectData" && !this.#stopped) this.#listener.trouble(fromCall(error));
    });
  }

  get #inbox(): string | undefined {
    return this.#welcome && inboxOf(this.#welcome.peer);
  }

  #onConnected(data: unknown): void {
    const welcome = readWelcome(data);
    if (welcome === undefined) return this.#refused(new StarlingError(Code.protocol, "not a Starling server"));
    this.#welcome = welcome;
    this.#resume = welcome.resume;
    queueMicrotask(() => {
      const lacking = this.#welcome === welcome && !this.#isUp && this.#centrifuge.state === "connected";
      if (lacking && !this.#stopped) this.#refused(new StarlingError(Code.protocol, "the server gave us no inbox"));
    });
  }

  #onInbox(recovered: boolean): void {
    this.#isUp = true;
    if (this.#welcome !== undefined) this.#listener.up(this.#welcome, recovered);
  }

  #refused(error: StarlingError): void {
    this.stop();
    this.#listener.refused(error);
  }
}

function inboxOf(peer: string): string {
  return `inbox:${peer}`;
}
