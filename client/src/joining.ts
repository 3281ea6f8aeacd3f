// Becoming a member, and staying one that is known as it is: a join is repeated until it succeeds.
import { fromCall, type StarlingError } from "./errors.js";
import type { PeerList } from "./protocol.js";
import { Timers } from "./timers.js";
import { backoffMs } from "./verdict.js";

/** What a joiner works with. */
export interface JoinerHost {
  /** Joins and lists. Rejects with a `StarlingError`. */
  join(): Promise<PeerList>;
  /** Joins, and lists nobody: what the server knows of us has changed. */
  tell(): Promise<unknown>;
  joined(list: PeerList): void;
  /** Something that passes. */
  trouble(error: StarlingError): void;
  /** The server refuses us for good. */
  refused(error: StarlingError): void;
}

/** So long the first join waits for what is worth knowing before it. */
export const JOIN_WAITS_MS = 300;

/** Joins, one attempt at a time: a new one takes the place of the one before. */
export class Joiner {
  readonly #host: JoinerHost;
  readonly #timers = new Timers();
  #run = 0;

  constructor(host: JoinerHost) {
    this.#host = host;
  }

  /** Repeats until it succeeds, is refused for good, or is stopped. Begins after `before`, but does not wait for it long. */
  async start(before?: Promise<void>): Promise<void> {
    this.stop();
    const run = this.#run;
    if (before !== undefined) {
      const enough = new Promise<void>((resolve) => this.#timers.after(JOIN_WAITS_MS, resolve));
      await Promise.race([before, enough]);
      if (run !== this.#run) return;
    }
    for (let failures = 0; ; failures++) {
      try {
        const list = await this.#host.join();
        if (run === this.#run) this.#host.joined(list);
        return;
      } catch (thrown) {
        if (run !== this.#run) return;
        const error = fromCall(thrown);
        // An expired token is replaced with the next connect, which the gateway is about to ask for.
        if (!error.temporary && error.code !== 401) return this.#host.refused(error);
        this.#host.trouble(error);
        await new Promise<void>((resolve) => this.#timers.after(backoffMs(failures), resolve));
      }
    }
  }

  /** Joins once more to say who we are now; when that fails, the whole join is done again. */
  async tell(): Promise<void> {
    const run = this.#run;
    try {
      await this.#host.tell();
    } catch {
      if (run === this.#run) await this.start();
    }
  }

  /** The connection is away, or we leave. */
  stop(): void {
    this.#run++;
    this.#timers.clear();
  }
}
