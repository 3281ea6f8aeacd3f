// The links of a swarm and the attempts at more: at most one session per peer, never more than the policy allows.
// It decides which offers to make and to take; the sessions do the rest.
import { Code, StarlingError } from "./errors.js";
import { Link } from "./link.js";
import type { Outbox } from "./outbox.js";
import { Patience, type Standing } from "./patience.js";
import { type Incoming, LIMITS, type Listed, type Outgoing, type Policy, type Welcome } from "./protocol.js";
import { Receipts } from "./receipts.js";
import { type Candidates, Hold, Recent, Seen, sessionKey } from "./recent.js";
import { type End, Session, type SessionHost } from "./session.js";
import { jitter } from "./timers.js";
import type { AttemptPhase, Role, SwarmEvents } from "./types.js";
import { theirOfferStands } from "./verdict.js";

/** What a mesh tells the swarm. */
export interface MeshHost {
  emit<E extends "link" | "unlink" | "attempt" | "error">(event: E, value: SwarmEvents[E]): void;
  /** An attempt or a link ended, so there is room for another. */
  freed(peer: string): void;
  /** More links are missing than before, although none ended. */
  encouraged(): void;
  /** Whether we know how our own NAT maps ports. */
  knowsNat(): boolean;
}

export type Connect = (config: RTCConfiguration) => RTCPeerConnection;

/** Who we are and how the server wants us to behave; comes with every connect. */
export interface Terms {
  readonly own: string;
  readonly policy: Policy;
  readonly rtc: RTCConfiguration;
}

/** With what the application says of connections over what the server says. */
export function termsOf({ peer, policy, iceServers }: Welcome, rtc: RTCConfiguration | undefined): Terms {
  const relayOnly = policy.turn === "only" && ({ iceTransportPolicy: "relay" } as const);
  return { own: peer, policy, rtc: { iceServers: [...iceServers], ...relayOnly, ...rtc } };
}

/** A peer with which it did not work is left alone this long, unless it offers; ... */
const AVOID_MS = 30_000;
/** ... and this long where the network lets nothing through: it will not do so a moment later either. */
const UNREACHABLE_MS = 600_000;
const MOST_AVOIDED = 256;
/** Longer than the gateway's history, so that an old offer cannot come back to life. */
export const OVER_MS = 120_000;
const MOST_OVER = 512;

export class Mesh implements SessionHost {
  readonly links = new Map<string, Link>();
  /** What we can say of those we tried. */
  readonly receipts = new Receipts();
  readonly #name: string;
  readonly #host: MeshHost;
  readonly #outbox: Outbox;
  readonly #connect: Connect;
  readonly #sessions = new Map<string, Session>();
  readonly #avoided = new Recent<true>(MOST_AVOIDED);
  readonly #over = new Recent<true>(MOST_OVER);
  readonly #seen = new Seen();
  readonly #hold = new Hold();
  #terms: Terms;
  #closing = false;
  #patience = new Patience();
  /** Those of the last list who wait for a first attempt to work. */
  #spares: readonly Listed[] = [];

  constructor(name: string, host: MeshHost, outbox: Outbox, connect: Connect, terms: Terms) {
    this.#name = name;
    this.#host = host;
    this.#outbox = outbox;
    this.#connect = connect;
    this.#terms = terms;
  }

  /** How many links to try for: those missing to what the policy aims at, fewer where attempts fail. */
  get missing(): number {
    return this.#patience.missing(Date.now(), this.#standing);
  }

  /** The share of our attempts that the network lets through, as far as we know. */
  get luck(): number {
    return this.#patience.luck;
  }

  /** How many more it allows. */
  get room(): number {
    return Math.max(0, this.#terms.policy.degreeMax - this.#sessions.size);
  }

  /** How connections are made. */
  get rtc(): RTCConfiguration {
    return this.#terms.rtc;
  }

  /** Whether there is a link to this peer or an attempt at one. */
  has(peer: string): boolean {
    return this.#sessions.has(peer);
  }

  /** Whom the next list need not name: the linked, those being tried, and the most recent failures. */
  exclude(): string[] {
    const avoided = this.#avoided.keys(Date.now()).reverse();
    return [...new Set([...this.#sessions.keys(), ...avoided])].slice(0, LIMITS.exclude);
  }

  /** New terms; with another id than before, what is pending is void, and open links can say no more byes. */
  accept(terms: Terms): void {
    const renamed = terms.own !== this.#terms.own;
    this.#terms = terms;
    if (!renamed) return;
    this.#outbox.clear();
    this.receipts.clear();
    this.#spares = []; // their tickets are void too
    this.#patience = new Patience(); // maybe in another network
    for (const session of [...this.#sessions.values()]) {
      session.mute();
      if (!session.isOpen) session.end("superseded", "our id changed");
    }
  }

  /** We are in another network, where more may be possible. */
  networkChanged(): void {
    this.#patience.networkChanged();
    this.#host.encouraged();
  }

  /**
   * Offers to those of a list that are new, at most so many, all in one call. Until an attempt has worked that is few, and
   * the others wait.
   */
  try(peers: readonly Listed[], most = this.missing): void {
    const now = Date.now();
    const fresh = peers.filter(
      ({ peer }) => peer !== this.#terms.own && !this.has(peer) && !this.#avoided.has(now, peer),
    );
    const many = Math.min(most, this.#patience.atOnce(this.#standing));
    this.#spares = this.#patience.isUntried ? fresh.slice(many) : [];
    this.#offer(fresh.slice(0, many));
  }

  /** A signal came in. Those that are repeats, late, or for nobody are dropped here. */
  receive(signal: Incoming): void {
    if (this.#closing || signal.swarm !== this.#name) return;
    const { from, session: id, seq } = signal;
    // Offers are known by their session instead: a repeated offer asks for the answer again.
    if ("offer" in signal) return this.#offered(signal, signal.offer.sdp);
    if (!this.#seen.first(Date.now(), from, id, seq)) return;
    const current = this.#sessions.get(from);
    const session = current?.id === id ? current : undefined;
    if ("answer" in signal) {
      void session?.answered(signal.answer.sdp);
    } else if ("candidates" in signal) {
      const more = { candidates: signal.candidates, end: signal.end === true };
      if (session !== undefined) session.candidates(more);
      else this.#holdFor(from, id, more);
    } else {
      this.#markOver(from, id); // also when the offer is still to come
      session?.end("refused", signal.bye.reason || "bye");
    }
  }

  /** The connection to the server is away. Links stay; attempts wait. */
  pause(): void {
    for (const session of this.#sessions.values()) session.pause();
  }

  /**
   * It is back. When publications were missed, an answer may be among them: those offers are made anew. Otherwise they
   * are repeated, because even then one can be missing; and so are answers that may not have got through.
   */
  resume(recovered: boolean): void {
    const anew = [...this.#sessions.values()].filter((session) => !recovered && session.isUnanswered);
    for (const session of anew) session.end("superseded", "made anew");
    for (const session of this.#sessions.values()) session.resume();
    this.#offer(anew);
  }

  /** Closes every link and attempt, and tells the peers why. New ones come only after `reopen`. */
  close(reason: string): void {
    this.#closing = true;
    this.#spares = [];
    for (const session of [...this.#sessions.values()]) session.close(reason);
  }

  /** Links are welcome again, also with those whose link we closed ourselves. */
  reopen(): void {
    this.#closing = false;
    this.#avoided.clear();
  }

  /** @see SessionHost */
  send(...args: Parameters<SessionHost["send"]>): void {
    this.#outbox.push(...args);
  }

  takeHeld({ peer, id }: Session): Candidates {
    return this.#hold.take(Date.now(), peer, id);
  }

  holdOn({ peer, id }: Session, more: Candidates): void {
    this.#holdFor(peer, id, more);
  }

  opened(session: Session, channel: RTCDataChannel): void {
    this.#patience.opened();
    const openedInMs = session.ageMs;
    const tally = this.receipts.opened(session.peer, session.ticket, openedInMs);
    const link = new Link(session, tally, channel, openedInMs);
    this.links.set(session.peer, link);
    this.#tell(session, "connected");
    this.#host.emit("link", link);
    this.try(this.#spares);
    this.#host.encouraged();
  }

  over(session: Session, { wasOpen, phase, reason }: End): void {
    const { peer } = session;
    this.#sessions.delete(peer);
    this.#outbox.drop(peer, session.id);
    this.#markOver(peer, session.id);
    const replaced = phase === "superseded" && !this.#closing;
    const link = this.links.get(peer);
    const isUnreachable = !wasOpen && phase === "failed";
    if (isUnreachable) this.#patience.failed(Date.now());
    if (!replaced || wasOpen) this.#avoid(peer, isUnreachable ? UNREACHABLE_MS : AVOID_MS);
    if (wasOpen) this.receipts.closed(peer);
    else if (phase === "failed" || phase === "expired") this.receipts.failed(peer, session.ticket);
    if (wasOpen && link !== undefined) {
      this.links.delete(peer);
      this.#host.emit("unlink", { link, reason });
    } else if (!this.#closing) {
      this.#tell(session, phase, reason);
    }
    if (this.#closing) return;
    // Nothing was learned of our network, so another one may be tried at once.
    if (phase === "gone" || phase === "refused") this.try(this.#spares);
    this.#host.freed(peer);
  }

  get #standing(): Standing {
    return {
      places: this.#terms.policy.degreeTarget - this.#sessions.size,
      underWay: [...this.#sessions.values()].filter(({ isOpen }) => !isOpen).length,
      knowsNat: this.#host.knowsNat(),
    };
  }

  #offer(peers: readonly { readonly peer: string; readonly ticket: string }[]): void {
    const round = peers.flatMap(({ peer, ticket }) => this.#start("offerer", peer, ticket, newSessionId()));
    const prepared = Promise.all(round.map((session) => session.prepare()));
    void prepared.then(() => {
      for (const session of round) session.launch();
    });
  }

  #offered({ from, session: id, ticket }: Incoming, sdp: string): void {
    if (from === this.#terms.own || this.#over.has(Date.now(), sessionKey(from, id))) return;
    const current = this.#sessions.get(from);
    if (current?.id === id) return current.repeatAnswer();
    if (current === undefined && this.#sessions.size >= this.#terms.policy.degreeMax)
      return this.#refuse(from, id, ticket);
    // An offer that stands against ours is known as such by its maker too, who drops this one and answers ours.
    if (current?.isUnanswered && !theirOfferStands(this.#terms.own, from)) return;
    current?.end("superseded", "replaced");
    for (const session of this.#start("answerer", from, ticket, id)) void session.accept(sdp);
  }

  #refuse(to: string, session: string, ticket: string): void {
    this.#markOver(to, session);
    const bye: Outgoing = { to, ticket, session, seq: 0, bye: { reason: "full" } };
    this.#outbox.push(bye);
  }

  /** One session, or none when the browser makes no connection: too many, or a configuration it does not take. */
  #start(role: Role, peer: string, ticket: string, id: string): Session[] {
    try {
      const connection = this.#connect(this.#terms.rtc);
      const session = new Session(this, { peer, ticket, id, role, connection, gatherMs: this.#terms.policy.gatherMs });
      this.#sessions.set(peer, session);
      this.#tell(session, role === "offerer" ? "offering" : "answering");
      return [session];
    } catch (cause) {
      this.#avoid(peer);
      const message = cause instanceof Error ? cause.message : String(cause);
      this.#host.emit("error", new StarlingError(Code.options, message, false, { cause }));
      return [];
    }
  }

  #tell(session: Session, phase: AttemptPhase, reason?: string): void {
    const { peer, id, role, ageMs: ms } = session;
    const attempt = { peer, session: id, role, phase, ms };
    this.#host.emit("attempt", reason === undefined ? attempt : { ...attempt, reason });
  }

  #holdFor(peer: string, session: string, more: Candidates): void {
    const now = Date.now();
    if (!this.#over.has(now, sessionKey(peer, session))) this.#hold.put(now, peer, session, more);
  }

  #markOver(peer: string, session: string): void {
    this.#over.set(Date.now(), sessionKey(peer, session), true, OVER_MS);
  }

  #avoid(peer: string, ms = AVOID_MS): void {
    this.#avoided.set(Date.now(), peer, true, jitter(ms, 0.2));
  }
}

/** 96 random bits: a session name is chosen by the offerer and used by both sides. */
function newSessionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_");
}
