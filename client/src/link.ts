// A link: an open data channel to a peer, as the application sees it.

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

  /** @internal */
  constructor(end: LinkEnd, channel: RTCDataChannel, openedInMs: number) {
    this.#end = end;
    this.peer = end.peer;
    this.session = end.id;
    this.connection = end.connection;
    this.channel = channel;
    this.openedInMs = openedInMs;
  }

  /** The round-trip time in milliseconds, as the connection measured it last; undefined before it has. */
  async rtt(): Promise<number | undefined> {
    if (this.connection.connectionState === "closed") return undefined;
    return roundTripMs(await this.connection.getStats());
  }

  /** Closes the link and tells the peer why. Idempotent; `unlink` follows with the same reason. */
  close(reason = "closed"): void {
    this.#end.close(reason);
  }
}

/** The chosen pair's round-trip time. Firefox has no transport entry, so there the nominated pair is taken. */
export function roundTripMs(stats: RTCStatsReport): number | undefined {
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
  return seconds === undefined ? undefined : seconds * 1000;
}
