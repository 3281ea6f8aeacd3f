// Signals on their way out: whatever is said in one turn goes in as few `signal` calls as the limits allow, an answer
// alone is published, nothing is sent while the connection is away, and every signal hears what came of it.
import { Code, cannotPublish, type StarlingError } from "./errors.js";
import { LIMITS, type Outgoing, type SignalResult } from "./protocol.js";
import { byteLength } from "./sdp.js";
import { Timers } from "./timers.js";

/** The ways that signals can go. Both reject with a `StarlingError`. */
export interface Ways {
  /** The `signal` call: as many results as signals, in order. */
  call(signals: readonly Outgoing[]): Promise<readonly SignalResult[]>;
  /** One signal, published to its receiver's inbox: a quarter less work than a call. */
  publish(signal: Outgoing): Promise<void>;
}

interface Item {
  readonly signal: Outgoing;
  readonly done: (result: SignalResult) => void;
  /** How often a connection went away under it. */
  lost: number;
}

/** Candidates wait this long for others; offers, answers and byes go at once and take along what waits. */
const CANDIDATES_WAIT_MS = 10;
/** A signal that the connection broke under this often is given up: then it is not the connection. */
const MOST_LOST = 3;
/** Room that `{"swarm":...,"signals":[]}` takes in a call, swarm name included, generously. */
const ENVELOPE_BYTES = 512;

export class Outbox {
  readonly #ways: Ways;
  readonly #timers = new Timers();
  #waiting: Item[] = [];
  #scheduled = false;
  #open = false;
  #canPublish = true;

  constructor(ways: Ways) {
    this.#ways = ways;
  }

  /** A signal that waits already does not wait twice. */
  push(signal: Outgoing, done: (result: SignalResult) => void = () => {}): void {
    if (this.#waiting.some((item) => item.signal === signal)) return;
    this.#waiting.push({ signal, done, lost: 0 });
    if ("candidates" in signal) this.#timers.after(CANDIDATES_WAIT_MS, () => this.flush());
    else this.#flushSoon();
  }

  /** The connection is there: what waited goes out. This gateway may take what the last one did not. */
  open(): void {
    this.#open = true;
    this.#canPublish = true;
    this.#flushSoon();
  }

  /** The connection is away: what comes waits. */
  pause(): void {
    this.#open = false;
  }

  /** Forgets what waits of one session, except a bye: the session is over. */
  drop(to: string, session: string): void {
    this.#waiting = this.#waiting.filter(
      ({ signal }) => signal.to !== to || signal.session !== session || "bye" in signal,
    );
  }

  /** Forgets what waits, and tells nobody: for when the sessions it belongs to are void. */
  clear(): void {
    this.#timers.clear();
    this.#waiting = [];
  }

  /** After the current turn, so that all its signals share a call. */
  #flushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Sends what waits, now. */
  flush(): void {
    if (!this.#open || this.#waiting.length === 0) return;
    this.#timers.clear();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const items of splitCalls(waiting, ({ signal }) => byteLength(JSON.stringify(signal)))) void this.#send(items);
  }

  async #send(items: readonly Item[]): Promise<void> {
    try {
      const results = await this.#carry(items.map(({ signal }) => signal));
      items.forEach(({ done }, i) => {
        done(results[i] ?? { ok: false, code: Code.protocol, message: "no result" });
      });
    } catch (thrown) {
      this.#failed(items, thrown as StarlingError);
    }
  }

  async #carry(signals: readonly Outgoing[]): Promise<readonly SignalResult[]> {
    const [first] = signals;
    if (!this.#canPublish || first === undefined || signals.length > 1 || !("answer" in first)) {
      return this.#ways.call(signals);
    }
    try {
      await this.#ways.publish(first);
      return [{ ok: true }];
    } catch (thrown) {
      if (!cannotPublish(thrown as StarlingError)) throw thrown;
      this.#canPublish = false;
      return this.#ways.call(signals);
    }
  }

  /** Whether a lost call arrived is unknown; repeating is safe, because receivers drop what they have seen. */
  #failed(items: readonly Item[], { code, message }: StarlingError): void {
    const lost = code === Code.connection;
    const again = items.filter((item) => lost && ++item.lost < MOST_LOST);
    this.#waiting.unshift(...again);
    for (const item of items) {
      if (!again.includes(item)) item.done({ ok: false, code, message });
    }
    if (again.length > 0) this.#timers.after(CANDIDATES_WAIT_MS, () => this.flush());
  }
}

/** Cuts a queue into calls of at most 16 signals and 64 KiB, in order. */
export function splitCalls<T>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  most: number = LIMITS.signalsPerCall,
  mostBytes: number = LIMITS.bytesPerCall - ENVELOPE_BYTES,
): T[][] {
  const calls: T[][] = [];
  let room = 0;
  for (const item of items) {
    const bytes = bytesOf(item) + 1; // the comma
    const call = calls.at(-1);
    if (call !== undefined && call.length < most && bytes <= room) {
      call.push(item);
      room -= bytes;
    } else {
      calls.push([item]);
      room = mostBytes - bytes;
    }
  }
  return calls;
}
