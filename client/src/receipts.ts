// What we say of our counterparts in reports: one receipt for each peer that we tried, with counters that only grow,
// however often it is linked to. A page that is loaded anew is another peer, so they never begin again.
import { amount, MOST_32_BITS } from "./numbers.js";
import { LIMITS } from "./protocol.js";

/** As it goes to the server. */
export interface Receipt {
  readonly peer: string;
  readonly ticket: string;
  readonly connected: boolean;
  readonly candidate_type?: string;
  readonly rtt_ms?: number;
  readonly connect_ms?: number;
  readonly bytes: number;
  readonly busy_ms: number;
  readonly ok: number;
  readonly timeout: number;
  readonly bad: number;
}

/** What a connection knows of itself. The bytes are those of its channels. */
export interface Measured {
  readonly received: number;
  readonly sent: number;
  readonly rttMs?: number | undefined;
  readonly candidateType?: string | undefined;
}

/** Peers remembered; those of open links are never forgotten. */
const MOST = 64;
/** The server takes no longer times than this. */
const LONGEST_MS = 600_000;
const NOTHING: Measured = { received: 0, sent: 0 };

/** What is said of one peer. */
export class Tally {
  ticket = "";
  isOpen = false;
  /** Whether there is something that the server has not heard. */
  hasNews = true;
  /** The report that told of it last. */
  toldIn = 0;
  /** From the beginning of the attempt to the open channel, of the latest link; none before there was one. */
  #connectMs: number | undefined;
  #measured = NOTHING;
  #bytes = 0;
  #busyMs = 0;
  #ok = 0;
  #timeout = 0;
  #bad = 0;
  /** Until the application counts what it gets, the channel's bytes count. */
  #isCounted = false;

  opened(connectMs: number): void {
    this.isOpen = true;
    this.#connectMs = amount(connectMs, LONGEST_MS);
    this.#measured = NOTHING;
    this.hasNews = true;
  }

  received(bytes: number, ms: number): void {
    this.#isCounted = true;
    this.#bytes = amount(this.#bytes + amount(bytes));
    this.#busyMs = amount(this.#busyMs + amount(ms));
    this.#ok++;
    this.hasNews = true;
  }

  timedOut(): void {
    this.#timeout++;
    this.hasNews = true;
  }

  wasBad(): void {
    this.#bad++;
    this.hasNews = true;
  }

  /** Takes what the connection knows now; returns the bytes that came and went since the last time. */
  measure(now: Measured): { readonly received: number; readonly sent: number } {
    const received = amount(now.received - this.#measured.received);
    const sent = amount(now.sent - this.#measured.sent);
    this.#measured = now;
    if (!this.#isCounted && received > 0) {
      this.#bytes = amount(this.#bytes + received);
      this.hasNews = true;
    }
    return { received, sent };
  }

  receipt(peer: string): Receipt {
    const { rttMs, candidateType } = this.#measured;
    return {
      peer,
      ticket: this.ticket,
      connected: this.#connectMs !== undefined,
      ...(candidateType !== undefined && { candidate_type: candidateType }),
      ...(rttMs !== undefined && { rtt_ms: amount(rttMs, LONGEST_MS) }),
      ...(this.#connectMs !== undefined && { connect_ms: this.#connectMs }),
      bytes: this.#bytes,
      busy_ms: this.#busyMs,
      ok: amount(this.#ok, MOST_32_BITS),
      timeout: amount(this.#timeout, MOST_32_BITS),
      bad: amount(this.#bad, MOST_32_BITS),
    };
  }
}

/** The receipts of a swarm. */
export class Receipts {
  readonly #tallies = new Map<string, Tally>();

  /** A link to this peer opened, which was tried with this ticket and took this long. */
  opened(peer: string, ticket: string, connectMs: number): Tally {
    const tally = this.#tried(peer, ticket);
    tally.opened(connectMs);
    return tally;
  }

  /** The link is no more; what was said of it stays. */
  closed(peer: string): void {
    const tally = this.#tallies.get(peer);
    if (tally !== undefined) tally.isOpen = false;
  }

  /** An attempt came to nothing. */
  failed(peer: string, ticket: string): void {
    this.#tried(peer, ticket);
  }

  /** Our tickets are void: nothing can be said any more of those that we know. */
  clear(): void {
    this.#tallies.clear();
  }

  /** What goes into report number `seq`: those with news first, then those that it is longest since. */
  next(seq: number): { readonly receipts: Receipt[]; readonly failed: () => void } {
    const chosen = [...this.#tallies]
      .sort(([, one], [, other]) => Number(other.hasNews) - Number(one.hasNews) || one.toldIn - other.toldIn)
      .slice(0, LIMITS.receipts);
    const receipts = chosen.map(([peer, tally]) => tally.receipt(peer));
    while (JSON.stringify(receipts).length > LIMITS.receiptBytes) receipts.pop();
    chosen.length = receipts.length; // who does not fit is the first of the next report
    const news = chosen.filter(([, tally]) => tally.hasNews);
    for (const [, tally] of chosen) {
      tally.hasNews = false;
      tally.toldIn = seq;
    }
    const failed = (): void => {
      for (const [, tally] of news) tally.hasNews = true;
    };
    return { receipts, failed };
  }

  #tried(peer: string, ticket: string): Tally {
    const tally = this.#tallies.get(peer) ?? new Tally();
    tally.ticket = ticket;
    this.#tallies.delete(peer); // so that it moves to the end: the order of the map is the order of age
    this.#tallies.set(peer, tally);
    for (const [oldest, { isOpen }] of this.#tallies) {
      if (this.#tallies.size <= MOST) break;
      if (!isOpen && oldest !== peer) this.#tallies.delete(oldest);
    }
    return tally;
  }
}
