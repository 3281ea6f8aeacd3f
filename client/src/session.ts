// One attempt to link, and the link that comes of it: a connection, the signals about it, and their timers. It speaks
// to its peer through its host, and ends exactly once.
import { Gathering } from "./gathering.js";
import type { LinkEnd } from "./link.js";
import { LIMITS, type Outgoing, type Said, type SignalResult } from "./protocol.js";
import type { Candidates } from "./recent.js";
import { fitReason, ufragOf } from "./sdp.js";
import { jitter, Timers } from "./timers.js";
import type { AttemptPhase, Role } from "./types.js";
import { retryMs, verdict } from "./verdict.js";

/** Whom a session works for. */
export interface SessionHost {
  send(signal: Outgoing, done: (result: SignalResult) => void): void;
  /** Candidates that came before their description. */
  takeHeld(session: Session): Candidates;
  holdOn(session: Session, more: Candidates): void;
  opened(session: Session, channel: RTCDataChannel): void;
  over(session: Session, end: End): void;
}

/** How a session ended. `phase` says how an attempt did; for a link that was open only the reason counts. */
export interface End {
  readonly wasOpen: boolean;
  readonly phase: AttemptPhase;
  readonly reason: string;
}

export interface SessionOptions {
  readonly peer: string;
  readonly ticket: string;
  readonly id: string;
  readonly role: Role;
  readonly connection: RTCPeerConnection;
  readonly gatherMs: number;
}

/** An unanswered offer is repeated at these times after the server took it, and given up at the last. */
export const REPEAT_MS = [1500, 4000] as const;
export const EXPIRE_MS = 8000;
/** So that tabs which began together do not repeat together: each time is this much earlier or later. */
export const REPEAT_JITTER = 0.15;
/** From both descriptions known to an open channel. A browser's own ICE failure takes up to 30 s. */
export const CONNECT_MS = 15_000;
/** A connection that is `disconnected` often comes back by itself, for example when Wi-Fi roams. */
const GRACE_MS = 5000;

/**
 * - `preparing`: gathering for our description
 * - `waiting`: our offer is out (offerer only)
 * - `connecting`: both descriptions are known
 */
type State = "preparing" | "waiting" | "connecting" | "open" | "over";

export class Session implements LinkEnd {
  readonly peer: string;
  readonly ticket: string;
  readonly id: string;
  readonly role: Role;
  readonly connection: RTCPeerConnection;
  readonly #host: SessionHost;
  readonly #gatherMs: number;
  readonly #gathering: Gathering;
  readonly #started = performance.now();
  readonly #listening = new AbortController();
  /** For the time until the answer: repeats, retries, expiry. */
  readonly #asking = new Timers();
  /** For the time after it: the deadline, later the grace. */
  readonly #watching = new Timers();
  #state: State = "preparing";
  #seq = 0;
  #description: Outgoing | undefined;
  #remoteKnown = false;
  #retries = 0;
  /** Whether the server took our description: an offer on this connection, an answer on any. */
  #accepted = false;
  #muted = false;

  constructor(host: SessionHost, options: SessionOptions) {
    this.#host = host;
    this.peer = options.peer;
    this.ticket = options.ticket;
    this.id = options.id;
    this.role = options.role;
    this.connection = options.connection;
    this.#gatherMs = options.gatherMs;
    const { signal } = this.#listening;
    this.#gathering = new Gathering(this.connection, (late, end) => this.#trickle(late, end), signal);
    this.connection.addEventListener("connectionstatechange", () => this.#onConnectionState(), { signal });
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Whether this is an offer of ours without an answer yet. */
  get isUnanswered(): boolean {
    return this.role === "offerer" && (this.#state === "preparing" || this.#state === "waiting");
  }

  /** Since the attempt began. */
  get ageMs(): number {
    return performance.now() - this.#started;
  }

  /** Offerer: makes the offer and gathers; `launch` sends it. Never rejects. */
  prepare(): Promise<void> {
    return this.#try(async () => {
      this.#watch(this.connection.createDataChannel("starling", { ordered: true }));
      await this.connection.setLocalDescription();
      await this.#gathering.wait(this.#gatherMs);
    });
  }

  /** Offerer: sends the offer that was prepared, so that all offers of one round share a call. */
  launch(): void {
    if (this.#state !== "preparing") return;
    this.#state = "waiting";
    this.#describe({ offer: { sdp: this.#gathering.seal() } });
  }

  /** Answerer: takes the offer and answers it. */
  accept(sdp: string): Promise<void> {
    const { signal } = this.#listening;
    const onChannel = ({ channel }: RTCDataChannelEvent): void => this.#watch(channel);
    this.connection.addEventListener("datachannel", onChannel, { once: true, signal });
    return this.#try(async () => {
      await this.#setRemote({ type: "offer", sdp });
      await this.connection.setLocalDescription();
      await this.#gathering.wait(this.#gatherMs);
      if (this.#state !== "preparing") return;
      this.#connecting();
      this.#describe({ answer: { sdp: this.#gathering.seal() } });
    });
  }

  /** Offerer: the answer came. A second one is not for us. */
  answered(sdp: string): Promise<void> {
    if (this.role !== "offerer" || this.#state !== "waiting") return Promise.resolve();
    this.#connecting();
    return this.#try(() => this.#setRemote({ type: "answer", sdp }));
  }

  /** Remote candidates; those that overtook their description wait for it. */
  candidates(more: Candidates): void {
    if (this.#remoteKnown) this.#add(more);
    else this.#host.holdOn(this, more);
  }

  /** The offer came again, so our answer may have been lost. While it is being made there is nothing to repeat. */
  repeatAnswer(): void {
    if (this.role === "answerer" && this.#state === "connecting") this.#transmit();
  }

  /** The connection to the server is away: an offer can neither be repeated nor answered, so it does not expire. */
  pause(): void {
    this.#asking.clear();
    if (this.role === "offerer") this.#accepted = false;
  }

  /** The connection is back: an offer that waits is repeated, and an answer that may not have got through. */
  resume(): void {
    const isAnswering = this.role === "answerer" && this.#state === "connecting";
    if (this.#state === "waiting" || (isAnswering && !this.#accepted)) this.#transmit();
  }

  /** From here on nothing is said to the peer: our tickets for it are void. */
  mute(): void {
    this.#muted = true;
  }

  /** Ends a link or an attempt, for a reason that the peer is told. */
  close(reason: string): void {
    this.end("superseded", reason, reason);
  }

  /** Idempotent. With `bye`, the peer is told. */
  end(phase: AttemptPhase, reason: string, bye?: string): void {
    if (this.#state === "over") return;
    const wasOpen = this.#state === "open";
    const known = this.role === "answerer" || this.#description !== undefined;
    this.#state = "over";
    this.#listening.abort();
    this.#asking.clear();
    this.#watching.clear();
    if (bye !== undefined && known && !this.#muted) {
      this.#host.send(this.#signal({ bye: { reason: fitReason(bye, LIMITS.reason) } }), () => {});
    }
    this.connection.close();
    this.#host.over(this, { wasOpen, phase, reason });
  }

  /** What goes wrong while a description is made or taken ends the attempt; the peer need not wait for us then. */
  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.end("failed", thrown instanceof Error ? thrown.message : String(thrown), "failed");
    }
  }

  async #setRemote(description: RTCSessionDescriptionInit): Promise<void> {
    await this.connection.setRemoteDescription(description);
    this.#remoteKnown = true;
    this.#add(this.#host.takeHeld(this));
  }

  #add({ candidates, end }: Candidates): void {
    if (this.#state === "over") return;
    // One that the browser does not like must not end an attempt that others may carry.
    const add = (candidate: string): void => {
      const usernameFragment = ufragOf(candidate) ?? null;
      this.connection.addIceCandidate({ candidate, sdpMLineIndex: 0, usernameFragment }).catch(() => {});
    };
    for (const candidate of candidates) add(candidate);
    if (end) add("");
  }

  #connecting(): void {
    this.#state = "connecting";
    this.#asking.clear();
    this.#watching.after(CONNECT_MS, () => this.end("failed", "no connection in time", "failed"));
  }

  #describe(said: Said): void {
    this.#description = this.#signal(said);
    this.#transmit();
  }

  #trickle(candidates: string[], end: boolean): void {
    // Whether a candidate gets through decides nothing: the description holds the first ones.
    this.#host.send(this.#signal(end ? { candidates, end } : { candidates }), () => {});
  }

  #signal(said: Said): Outgoing {
    return { to: this.peer, ticket: this.ticket, session: this.id, seq: this.#seq++, ...said };
  }

  /** Sends our description, for the first time or again: the same `seq`, so that it counts once. */
  #transmit(): void {
    if (this.#description !== undefined) this.#host.send(this.#description, (result) => this.#onResult(result));
  }

  #onResult(result: SignalResult): void {
    const expected = this.role === "offerer" ? "waiting" : "connecting";
    if (this.#state !== expected) return;
    if (result.ok) {
      if (this.role === "offerer" && !this.#accepted) this.#repeat();
      this.#accepted = true;
      return;
    }
    const reason = `${result.code} ${result.message}`;
    const what = verdict(result.code, this.#retries);
    if (what === "again") {
      this.#asking.after(retryMs(this.#retries++, result.retryMs), () => this.#transmit());
    } else if (what !== "expired" || !this.#accepted) {
      // Trouble with a repeat ends nothing: what was taken before may bring the link, and its own deadline runs.
      this.end(what, reason);
    }
  }

  #repeat(): void {
    for (const ms of REPEAT_MS) this.#asking.after(jitter(ms, REPEAT_JITTER), () => this.#transmit());
    this.#asking.after(jitter(EXPIRE_MS, REPEAT_JITTER), () => this.end("expired", "no answer", "expired"));
  }

  #watch(channel: RTCDataChannel): void {
    const { signal } = this.#listening;
    channel.addEventListener("open", () => this.#onOpen(channel), { signal });
    channel.addEventListener("close", () => this.#lost("closed"), { signal });
    if (channel.readyState === "open") this.#onOpen(channel);
  }

  #onOpen(channel: RTCDataChannel): void {
    if (this.#state === "open" || this.#state === "over") return;
    this.#state = "open";
    this.#asking.clear();
    this.#watching.clear();
    this.#gathering.stop(); // the pair is found: late candidates would only cost signals
    this.#host.opened(this, channel);
  }

  #onConnectionState(): void {
    switch (this.connection.connectionState) {
      case "failed":
        return this.#lost("failed");
      case "closed":
        return this.#lost("closed");
      case "disconnected":
        if (this.isOpen) this.#watching.after(GRACE_MS, () => this.#lost("disconnected"));
        return;
      case "connected":
        if (this.isOpen) this.#watching.clear();
        return;
    }
  }

  #lost(reason: string): void {
    this.end("failed", reason);
  }
}
