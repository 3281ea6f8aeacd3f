// What a client remembers of the recent past: which signals it has seen, which candidates came too early, which
// sessions are over. All of it is bounded in number and in time. No clock: callers pass `now`.

/** A map that forgets: entries expire, and the oldest goes when there are too many. */
export class Recent<V> {
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  set(now: number, key: string, value: V, ms: number): void {
    this.#entries.delete(key); // so that it moves to the end: the order of the map is the order of age
    this.#entries.set(key, { value, until: now + ms });
    if (this.#entries.size <= this.#most) return;
    for (const [oldest, { until }] of this.#entries) {
      if (this.#entries.size <= this.#most && until > now) return;
      this.#entries.delete(oldest);
    }
  }

  get(now: number, key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.until > now) return entry?.value;
    this.#entries.delete(key);
    return undefined;
  }

  has(now: number, key: string): boolean {
    return this.get(now, key) !== undefined;
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  /** The keys that have not expired, oldest first. */
  keys(now: number): string[] {
    return [...this.#entries].flatMap(([key, { until }]) => (until > now ? [key] : []));
  }

  get size(): number {
    return this.#entries.size;
  }
}

/** Ids and session names never hold a blank, so this cannot mix up two pairs. */
export function sessionKey(peer: string, session: string): string {
  return `${peer} ${session}`;
}

const SEEN_SESSIONS = 512;
/** An honest side sends a handful of signals in a session; what goes beyond is not listened to. */
const SEEN_SIGNALS = 64;
/** The gateway's history holds 60 s, and no attempt lives longer. */
export const SEEN_MS = 120_000;

/** Which signals came already. Delivery is at least once; the application shall hear things once. */
export class Seen {
  readonly #sessions = new Recent<Set<number>>(SEEN_SESSIONS);

  /** Whether this is the first time; says so once. */
  first(now: number, from: string, session: string, seq: number): boolean {
    const key = sessionKey(from, session);
    const seqs = this.#sessions.get(now, key) ?? new Set<number>();
    if (seqs.has(seq) || seqs.size >= SEEN_SIGNALS) return false;
    this.#sessions.set(now, key, seqs.add(seq), SEEN_MS);
    return true;
  }
}

const HELD_SESSIONS = 64;
const HELD_CANDIDATES = 40;
/** Longer than an offer can come after them: refused twice by a server that asks for patience, then lost and repeated. */
export const HELD_MS = 20_000;

/** Remote candidates, and whether they were the last. */
export interface Candidates {
  readonly candidates: readonly string[];
  readonly end: boolean;
}

/** Candidates that overtook their offer or answer, until that comes. */
export class Hold {
  readonly #sessions = new Recent<Candidates>(HELD_SESSIONS);

  put(now: number, from: string, session: string, more: Candidates): void {
    const key = sessionKey(from, session);
    const held = this.#sessions.get(now, key);
    const candidates = [...(held?.candidates ?? []), ...more.candidates].slice(0, HELD_CANDIDATES);
    this.#sessions.set(now, key, { candidates, end: more.end || held?.end === true }, HELD_MS);
  }

  /** What was held for this session; it is held no longer. */
  take(now: number, from: string, session: string): Candidates {
    const key = sessionKey(from, session);
    const held = this.#sessions.get(now, key) ?? { candidates: [], end: false };
    this.#sessions.delete(key);
    return held;
  }
}
