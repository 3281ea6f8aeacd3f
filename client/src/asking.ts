// When to ask the server for peers. Asking is also our sign of life, so it never stops while we are joined.
import { StarlingError } from "./errors.js";
import { type Random, Timers } from "./timers.js";

/** What decides when to ask next. */
export interface Need {
  /** Links missing to the aim. */
  readonly missing: number;
  /** When the server said to come back, and how long ago it said so. */
  readonly nextMs: number;
  readonly sinceMs: number;
  /** Whether a place became free after that: the server did not know of it. */
  readonly freed: boolean;
  readonly idleMs: number;
  /** The share of attempts that become links, as far as is known. */
  readonly luck: number;
}

/** The server's budget for lists is one in five seconds, so a place that became free waits no longer than that. */
const FREED_MS = 5000;
/** A short breath: when one link breaks, others often follow, and one call can replace them all. */
const BREATH_MS = 250;

/** In how many milliseconds to ask. At least once every idle interval; never before the server's time, but for a loss. */
export function askInMs({ missing, nextMs, sinceMs, freed, idleMs, luck }: Need, random: Random = Math.random): number {
  const idle = idleMs * (0.75 + 0.2 * random());
  if (missing === 0) return Math.max(0, idle - sinceMs);
  const pace = ((freed ? Math.min(nextMs, FREED_MS) : nextMs) * (1 + 0.3 * random())) / luck;
  return Math.max(BREATH_MS * (1 + random()), Math.min(idle, pace) - sinceMs);
}

/** Used after a call that failed: the server said nothing of when to come back. */
const AFTER_FAILURE_MS = 5000;

/** What an asker works with. */
export interface AskerHost {
  /** Asks, and says when the server wants to be asked next. Rejects with a `StarlingError`. */
  ask(urgent: boolean): Promise<number>;
  failed(error: StarlingError): void;
  readonly mesh: Pick<Need, "missing" | "luck">;
  idleMs(): number;
}

/** Asks at the right times, one call at a time. */
export class Asker {
  readonly #host: AskerHost;
  readonly #timers = new Timers();
  #running = false;
  #asking: Promise<void> | undefined;
  #isUrgent = false;
  #nextMs = 0;
  #answeredAt = 0;
  #freed = false;

  constructor(host: AskerHost) {
    this.#host = host;
  }

  /** A list just came (with `join`), and the server said when to come back. */
  start(nextMs: number): void {
    this.#running = true;
    this.#answered(nextMs);
  }

  stop(): void {
    this.#running = false;
    this.#timers.clear();
  }

  /** A link or an attempt ended: someone else may take its place. */
  freed(): void {
    if (!this.#running || this.#freed) return;
    this.#freed = true;
    this.#schedule();
  }

  /** What decides when to ask next has changed. */
  changed(): void {
    this.#schedule();
  }

  /** Asks now, unless that is under way; urgently, it asks again after one that was not. Rejects with what went wrong. */
  now(urgent = false): Promise<void> {
    if (this.#asking !== undefined && urgent && !this.#isUrgent) {
      return this.#asking.catch(() => {}).then(() => this.now(true));
    }
    if (this.#asking === undefined) this.#isUrgent = urgent;
    this.#asking ??= this.#ask(urgent).finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(urgent: boolean): Promise<void> {
    this.#timers.clear();
    try {
      this.#answered(await this.#host.ask(urgent));
    } catch (thrown) {
      this.#answered(AFTER_FAILURE_MS);
      throw thrown;
    }
  }

  #answered(nextMs: number): void {
    this.#nextMs = nextMs;
    this.#answeredAt = performance.now();
    this.#freed = false;
    this.#schedule();
  }

  #schedule(): void {
    this.#timers.clear();
    if (!this.#running) return;
    const need: Need = {
      missing: this.#host.mesh.missing,
      luck: this.#host.mesh.luck,
      nextMs: this.#nextMs,
      sinceMs: performance.now() - this.#answeredAt,
      freed: this.#freed,
      idleMs: this.#host.idleMs(),
    };
    this.#timers.after(askInMs(need), () => {
      this.now().catch((thrown: unknown) => {
        if (this.#running && thrown instanceof StarlingError) this.#host.failed(thrown);
      });
    });
  }
}
