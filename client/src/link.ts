// A link: an open data channel to a peer, as the application sees it.
import type { Measured, Tally } from "./receipts.js";

/** What a link can ask of the session that made it. */
export interface LinkEnd {
  readonly peer: string;
  readonly id: string;
  readonly connection: RTCPeerConnection;
  close(reason: string): void;
}

/** An open data channel to a peer. The channel is an ordinary `RTCDataChannel`, ordered and reliable. */
export class Link {
  /** The other side's id. */
  readonly peer: string;
  /** The attempt that this link came from; the same on both sides. */
  readonly session: string;
  readonly channel: RTCDataChannel;
  readonly connection: RTCPeerConnection;
  /** From the start of the attempt to the open channel. */
  readonly openedInMs: number;
  readonly #end: LinkEnd;
  readonly #tally: Tally;

  /** @internal */
  constructor(end: LinkEnd, tally: Tally, channel: RTCDataChannel, openedInMs: number) {
    this.#end = end;
    this.#tally = tally;
    this.peer = end.peer;
    this.session = end.id;
    this.connection = end.connection;
    this.channel = channel;
    this.openedInMs = openedInMs;
  }

  /** The round-trip time in milliseconds, as the connection measured it last; undefined before it has. */
  async rtt(): Promise<number | undefined> {
    if (this.connection.connectionState === "closed") return undefined;
    return readStats(await this.connection.getStats()).rttMs;
  }

  /**
   * Says that a transfer from this peer came whole and right: its bytes, and the milliseconds that it took. The server
   * offers more of those who send well, so say it of every segment.
   */
  received(bytes: number, ms: number): void {
    this.#tally.received(bytes, ms);
  }

  /** Says that a transfer from this peer took too long. */
  timedOut(): void {
    this.#tally.timedOut();
  }

  /** Says that what this peer sent was wrong, such as a segment whose hash does not match. */
  wasBad(): void {
    this.#tally.wasBad();
  }

  /** Notes what the connection knows of itself; returns the bytes that came and went since the last time. @internal */
  async measure(): Promise<{ readonly received: number; readonly sent: number }> {
    try {
      return this.#tally.measure(readStats(await this.connection.getStats()));
    } catch {
      return { received: 0, sent: 0 }; // it was closed meanwhile
    }
  }

  /** Closes the link and tells the peer why. Idempotent; `unlink` follows with the same reason. */
  close(reason = "closed"): void {
    this.#end.close(reason);
  }
}

interface ChannelStats extends RTCStats {
  readonly bytesReceived?: number;
  readonly bytesSent?: number;
}

/**
 * The chosen pair's round-trip time and our end of it, and what all channels carried. Firefox has no transport entry, so
 * there the nominated pair is taken.
 */
export function readStats(stats: RTCStatsReport): Measured {
  const entries: RTCStats[] = [];
  stats.forEach((entry: RTCStats) => {
    entries.push(entry);
  });
  const transport = entries.find((entry): entry is RTCTransportStats => entry.type === "transport");
  const chosen = transport?.selectedCandidatePairId;
  const pairs = entries.filter((entry): entry is RTCIceCandidatePairStats => entry.type === "candidate-pair");
  const pair =
    pairs.find(({ id }) => id === chosen) ?? pairs.find(({ nominated, state }) => nominated && state === "succeeded");
  const seconds = pair?.currentRoundTripTime;
  const local = entries.find(({ id, type }) => type === "local-candidate" && id === pair?.localCandidateId);
  const candidateType = local !== undefined && "candidateType" in local ? local.candidateType : undefined;
  const channels = entries.filter((entry): entry is ChannelStats => entry.type === "data-channel");
  return {
    received: channels.reduce((sum, { bytesReceived }) => sum + (bytesReceived ?? 0), 0),
    sent: channels.reduce((sum, { bytesSent }) => sum + (bytesSent ?? 0), 0),
    rttMs: seconds === undefined ? undefined : seconds * 1000,
    candidateType: typeof candidateType === "string" ? candidateType : undefined,
  };
}
