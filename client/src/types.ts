// The words of the public interface that are not classes: options, events, and what they carry.
import type { StarlingError } from "./errors.js";
import type { Link } from "./link.js";
import type { Near, Policy } from "./protocol.js";

/** What `Starling.join` needs. Exactly one of `token` and `getToken` is required. */
export interface JoinOptions {
  /** Where Centrifugo listens: `wss://host/connection/websocket`. */
  url: string;
  /** A token that allows the swarm. When it has expired, the next reconnect is refused and the swarm is left. */
  token?: string;
  /**
   * Gives a token; called again on every connect and reconnect. Rejecting fails `join`; later it is an `error` event,
   * and the client tries again.
   */
  getToken?: () => string | Promise<string>;
  /** The content in one rendition: 1-128 characters of `[A-Za-z0-9._~:/-]`. */
  swarm: string;
  /** Whether this peer may be offered to others. Default: true. */
  upload?: boolean;
  /**
   * What is known of the network. Default: connection type and save-data from `navigator.connection`, where there. What
   * the NAT does is found out, unless `nat` says it, when the ICE servers name two STUN servers or more.
   */
  net?: Net;
  /** Most links that this peer will take. Default: the server's policy. */
  slots?: number;
  /** What is watched, in kbit/s: peers that send twice as fast are as good as any. */
  bitrateKbps?: number;
  /** Where in the content it begins, in seconds; see `Swarm.playhead`. */
  playhead?: number;
  /** Merged over what the server gives: `iceServers` here replaces the server's list. */
  rtc?: RTCConfiguration;
  /** Aborts the join, and only the join. `join` waits as long as it takes to reach the server, so this limits it. */
  signal?: AbortSignal;
}

/** How a network translates addresses. */
export type Nat = "open" | "eim" | "apdm" | "blocked" | "unknown";

/** What is known of this peer's network. */
export interface Net {
  nat?: Nat;
  /** As in `navigator.connection.type`: `wifi`, `cellular`, ... */
  type?: string;
  save_data?: boolean;
}

/** A peer as it was listed last. */
export interface Peer {
  readonly peer: string;
  /** How good it is as an uploader: a number in [0.05, 1]. */
  readonly score: number;
  readonly near: Near;
}

/** `connecting` until joined, and again while the connection to the server is away; `left` is the end. */
export type SwarmState = "connecting" | "joined" | "left";

export type Role = "offerer" | "answerer";

/**
 * Where an attempt to link stands. `offering` and `answering` begin it, each of the others ends it:
 *
 * - `connected`: the channel is open, there is a link
 * - `refused`: the peer said bye, or the server refuses the signal
 * - `gone`: the server knows that the peer is gone
 * - `expired`: no answer came
 * - `failed`: no connection came about
 * - `superseded`: another attempt with the same peer took its place, or our own id changed
 */
export type AttemptPhase =
  | "offering"
  | "answering"
  | "connected"
  | "refused"
  | "gone"
  | "expired"
  | "failed"
  | "superseded";

/** One step of one attempt to link. */
export interface Attempt {
  readonly peer: string;
  readonly session: string;
  readonly role: Role;
  readonly phase: AttemptPhase;
  /** Since the attempt began. */
  readonly ms: number;
  /** For people and logs: what the peer or the server said. */
  readonly reason?: string;
}

/** A link that is no more. */
export interface Unlink {
  readonly link: Link;
  /** `closed`, `failed`, `disconnected`, `replaced`, `leave`, `pagehide`, or what `close` or the peer's bye said. */
  readonly reason: string;
}

/** Events of a swarm, by name. */
export interface SwarmEvents {
  /** A data channel to a peer is open, whoever began. */
  link: Link;
  unlink: Unlink;
  /** A list came from the server. */
  peers: ReadonlyMap<string, Peer>;
  state: SwarmState;
  /** The server wants us to behave in another way than before; `upload` is for the application to obey. */
  policy: Policy;
  /** The server gave us another id, for example after a long time away. Open links stay. */
  identity: { readonly peer: string; readonly previous: string };
  attempt: Attempt;
  /** Something went wrong. When it is final (`temporary` is false and `state` follows with `left`), join again. */
  error: StarlingError;
}
