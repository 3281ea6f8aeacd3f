// Local candidates of one connection, for half trickle: those found in time travel inside the description, later ones
// follow in batches.
import { LIMITS } from "./protocol.js";
import { fitSdp, sdpUfrag, withUfrag } from "./sdp.js";
import { Timers } from "./timers.js";

/** Takes one batch for one signal; `end` with the last one, which may be empty. */
export type OnLate = (candidates: string[], end: boolean) => void;

/**
 * The best kind of candidate that a configuration lets a connection find. Chromium reports that gathering is complete
 * 100 ms after its last candidate; when this kind has come and no other follows, what matters is there.
 */
export function bestKind({ iceServers = [] }: RTCConfiguration): RTCIceCandidateType {
  const urls = iceServers.flatMap((server) => server.urls);
  if (urls.length === 0) return "host";
  return urls.some((url) => url.startsWith("turn")) ? "relay" : "srflx";
}

/** After the best kind has come, others of its burst get this long. */
const QUIET_MS = 20;

/** Late candidates come in bursts; the first waits this long for the rest of its burst. */
const LATE_MS = 50;

export class Gathering {
  readonly #connection: RTCPeerConnection;
  readonly #best: RTCIceCandidateType;
  readonly #onLate: OnLate;
  readonly #timers = new Timers();
  readonly #settling = new Timers();
  #late: string[] = [];
  #sealed = false;
  #trickled = false;
  #complete = false;
  #bestCame = false;
  #settled = false;
  #ufrag: string | undefined;
  #wake: () => void = () => {};

  /** Ends with `signal`. */
  constructor(connection: RTCPeerConnection, onLate: OnLate, signal: AbortSignal) {
    this.#connection = connection;
    this.#best = bestKind(connection.getConfiguration());
    this.#onLate = onLate;
    connection.addEventListener("icecandidate", ({ candidate }) => this.#found(candidate), { signal });
    signal.addEventListener("abort", () => this.stop());
  }

  /** Resolves when the candidates that matter are there or `ms` are over, whichever is first. */
  async wait(ms: number): Promise<void> {
    if (this.#settled) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timers.after(ms, resolve);
    });
    this.#timers.clear();
    this.#settling.clear();
  }

  /** The description with what was found so far. From here on candidates are late. */
  seal(): string {
    const { sdp, left } = fitSdp(this.#connection.localDescription?.sdp ?? "", LIMITS.sdpBytes);
    this.#ufrag = sdpUfrag(sdp);
    this.#sealed = true;
    for (const candidate of left) this.#queue(withUfrag(candidate, this.#ufrag));
    return sdp;
  }

  /** No late candidate is sent from here on. */
  stop(): void {
    this.#late = [];
    this.#timers.clear();
    this.#settling.clear();
    this.#sealed = false;
    this.#trickled = false;
    this.#wake();
  }

  #found(candidate: RTCIceCandidate | null): void {
    // An empty candidate ends one generation, null ends them all; with one section they mean the same.
    if (candidate === null || candidate.candidate === "") {
      if (this.#complete) return;
      this.#complete = true;
      this.#settle();
      if (this.#late.length > 0) this.#flush();
      else if (this.#trickled) this.#onLate([], true);
    } else if (!this.#sealed) {
      // It is in the description already.
      if (candidate.type === this.#best) this.#bestCame = true;
      this.#settling.clear();
      if (this.#bestCame) this.#settling.after(QUIET_MS, () => this.#settle());
    } else if (candidate.tcpType !== "active") {
      // Browsers only ever connect over TCP, so two of them never meet there.
      this.#queue(withUfrag(candidate.candidate, candidate.usernameFragment ?? this.#ufrag));
    }
  }

  #settle(): void {
    this.#settled = true;
    this.#wake();
  }

  #queue(candidate: string): void {
    if (this.#late.length === 0) this.#timers.after(LATE_MS, () => this.#flush());
    this.#late.push(candidate);
  }

  #flush(): void {
    this.#timers.clear();
    this.#trickled = true;
    const late = this.#late;
    this.#late = [];
    for (let i = 0; i < late.length; i += LIMITS.candidatesPerSignal) {
      const batch = late.slice(i, i + LIMITS.candidatesPerSignal);
      this.#onLate(batch, this.#complete && i + LIMITS.candidatesPerSignal >= late.length);
    }
  }
}
