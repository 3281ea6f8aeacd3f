// Our stay in the swarm, from join to leave: links and what is said on them, attempts, round-trip times.

import { type Attempt, type Link, Starling, type Swarm } from "../src/index.js";
import { Exchange, type Listener } from "./exchange.js";
import type { Mood } from "./log.js";
import type { Shown } from "./node.js";
import * as server from "./server.js";
import { count, duration, reason, short } from "./words.js";

const RTT_EVERY_MS = 1500;

export type Say = (text: string, options?: { mood?: Mood; peer?: string }) => void;

/** What the page wants to hear of. `changed` says that something which is shown may be different now. */
export interface Audience extends Pick<Listener, "text" | "transfer"> {
  say: Say;
  changed(): void;
}

interface Linked {
  link: Link;
  exchange: Exchange;
  neighbours: string[];
  rtt?: number;
  /** Files on their way, by direction. */
  busy: { up: Set<string>; down: Set<string> };
}

export class Session {
  readonly #audience: Audience;
  readonly #abort = new AbortController();
  readonly #linked = new Map<string, Linked>();
  readonly #trying = new Set<string>();
  readonly #known = new Set<string>();
  /** Unlinked since the last list: most likely gone, so not shown although that list has them. */
  readonly #gone = new Set<string>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #state: "connecting" | "joined" | "reconnecting" | "left" = "connecting";
  swarm: Swarm | undefined;
  /** The swarm's name, as soon as it is known. */
  name = "";
  /** Why the session ended, when it was not our own wish. */
  rejected: string | undefined;
  firstLinkMs: number | undefined;

  constructor(audience: Audience) {
    this.#audience = audience;
  }

  get state(): "connecting" | "joined" | "reconnecting" | "left" {
    return this.#state;
  }

  get links(): string[] {
    return [...this.#linked.keys()];
  }

  /** Joins, and stays until `leave` or until the server puts us out. Never rejects. */
  async join(): Promise<void> {
    try {
      const { url, swarm: name } = await server.place();
      this.name = name;
      this.#audience.say(`Joining the swarm “${name}”`);
      this.#audience.changed();
      const getToken = (): Promise<string> => server.token(name);
      const swarm = await Starling.join({ url, getToken, swarm: name, signal: this.#abort.signal });
      if (this.#abort.signal.aborted) await swarm.leave();
      else this.#enter(swarm);
    } catch (error) {
      if (!this.#abort.signal.aborted) {
        this.rejected = reason(error);
        this.#audience.say(this.rejected, { mood: "bad" });
      }
      this.#end();
    }
  }

  async leave(): Promise<void> {
    this.#abort.abort();
    if (this.#state === "left") return;
    const swarm = this.swarm;
    this.#end();
    this.#audience.say("Left the swarm");
    await swarm?.leave();
  }

  exchange(peer: string): Exchange | undefined {
    return this.#linked.get(peer)?.exchange;
  }

  /** Everything known of a link, for the details line. */
  link(peer: string): { link: Link; rtt?: number } | undefined {
    return this.#linked.get(peer);
  }

  /** The middle one of the links' round-trip times. */
  get medianRtt(): number | undefined {
    const times = [...this.#linked.values()].flatMap(({ rtt }) => rtt ?? []).sort((a, b) => a - b);
    return times[Math.floor((times.length - 1) / 2)];
  }

  /** Linked peers in the order in which they came, then the others that are listed or being linked with. */
  shown(): Shown[] {
    if (this.#state === "left") return [];
    const linked = [...this.#linked].map(([peer, { rtt, neighbours, busy }]): Shown => {
      const traffic = { up: busy.up.size > 0, down: busy.down.size > 0 };
      return { peer, state: "linked", neighbours, ...traffic, ...(rtt === undefined ? {} : { label: duration(rtt) }) };
    });
    const others = new Set([...this.#trying, ...(this.swarm?.peers.keys() ?? [])]);
    const rest = [...others].filter((peer) => !this.#linked.has(peer) && !this.#gone.has(peer));
    return linked.concat(
      rest.map((peer) => {
        const state = this.#trying.has(peer) ? "trying" : "listed";
        return { peer, state, up: false, down: false, neighbours: [] };
      }),
    );
  }

  #enter(swarm: Swarm): void {
    this.swarm = swarm;
    this.#state = swarm.state;
    const { say, changed } = this.#audience;
    swarm.on("link", (link) => this.#onLink(link));
    swarm.on("unlink", ({ link, reason }) => this.#onUnlink(link, reason));
    swarm.on("attempt", (attempt) => this.#onAttempt(attempt));
    swarm.on("peers", () => this.#onPeers(swarm));
    swarm.on("policy", ({ degreeTarget, upload }) => {
      say(`The server wants ${count(degreeTarget, "link")}${upload ? "" : " and no uploads"} from now on`);
    });
    swarm.on("identity", ({ peer }) => {
      say(`We are ${short(peer)} from now on`, { peer });
      changed();
    });
    let last: string | undefined;
    swarm.on("error", (error) => {
      last = error.temporary ? undefined : reason(error);
      say(reason(error), { mood: "bad" });
    });
    swarm.on("state", (state) => {
      if (this.#state === "left") return;
      if (state === "left") {
        this.rejected = last ?? "The server put us out.";
        this.#end();
      } else if (state === "connecting") this.#state = "reconnecting";
      else this.#state = "joined";
      if (state === "connecting")
        say("The connection to the server is away. Reconnecting; links stay", { mood: "bad" });
      if (state === "joined") say("Connected to the server again", { mood: "good" });
      changed();
    });
    const company = swarm.size <= 1 ? "the first here" : `${count(swarm.size, "viewer")} here`;
    say(`Joined as ${short(swarm.peer)}, ${company}`, { mood: "good", peer: swarm.peer });
    this.#onPeers(swarm);
    for (const link of swarm.links.values()) this.#onLink(link);
    this.#timer = setInterval(() => void this.#measure(), RTT_EVERY_MS);
  }

  #onPeers(swarm: Swarm): void {
    const fresh = [...swarm.peers.keys()].filter((peer) => !this.#known.has(peer));
    this.#gone.clear();
    for (const peer of fresh) {
      this.#known.add(peer);
      if (!this.#linked.has(peer)) this.#audience.say(`${short(peer)} is listed`, { peer });
    }
    this.#audience.changed();
  }

  #onAttempt({ peer, phase, reason }: Attempt): void {
    const began = phase === "offering" || phase === "answering";
    if (began) this.#trying.add(peer);
    else this.#trying.delete(peer);
    this.#gone.delete(peer);
    if (phase === "offering") this.#audience.say(`Offering a link to ${short(peer)}`, { peer });
    else if (phase === "answering") this.#audience.say(`${short(peer)} offers a link, answering`, { peer });
    else if (phase !== "connected" && phase !== "superseded") {
      const why = { refused: "refused", gone: "is gone", expired: "did not answer", failed: "cannot be reached" }[
        phase
      ];
      this.#audience.say(`${short(peer)} ${why}${reason ? `: ${reason}` : ""}`, { mood: "bad", peer });
    }
    this.#audience.changed();
  }

  #onLink(link: Link): void {
    if (this.#linked.get(link.peer)?.link === link) return;
    this.firstLinkMs ??= performance.now();
    this.#trying.delete(link.peer);
    this.#gone.delete(link.peer);
    const busy = { up: new Set<string>(), down: new Set<string>() };
    const { text, say, changed } = this.#audience;
    const exchange = new Exchange(link.peer, link.channel, {
      text,
      neighbours: (peer, peers) => {
        const linked = this.#linked.get(peer);
        if (linked !== undefined) linked.neighbours = peers;
        changed();
      },
      received: (bytes, ms, ok) => (ok ? link.received(bytes, ms) : link.wasBad()),
      transfer: (transfer) => {
        const over = transfer.state === "done" || transfer.state === "failed";
        if (over) busy[transfer.direction].delete(transfer.id);
        else busy[transfer.direction].add(transfer.id);
        this.#audience.transfer(transfer);
        changed();
      },
    });
    this.#linked.set(link.peer, { link, exchange, neighbours: [], busy });
    say(`Linked with ${short(link.peer)} in ${duration(link.openedInMs)}`, { mood: "good", peer: link.peer });
    this.#tellNeighbours();
    void this.#measure();
    changed();
  }

  #onUnlink(link: Link, reason: string): void {
    // A link that was replaced ends after its successor has begun.
    if (this.#linked.get(link.peer)?.link !== link) return;
    this.#linked.delete(link.peer);
    const { peer } = link;
    if (reason === "leave" || reason === "pagehide") this.#audience.say(`${short(peer)} left`, { peer });
    else if (reason === "closed") this.#audience.say(`${short(peer)} closed the link`, { peer });
    else this.#audience.say(`The link with ${short(peer)} is gone: ${reason}`, { mood: "bad", peer });
    this.#known.delete(link.peer);
    this.#gone.add(link.peer);
    this.#tellNeighbours();
    this.#audience.changed();
  }

  #tellNeighbours(): void {
    const peers = this.links;
    for (const { exchange } of this.#linked.values()) exchange.neighbours(peers);
  }

  async #measure(): Promise<void> {
    await Promise.all(
      [...this.#linked.values()].map(async (linked) => {
        const rtt = await linked.link.rtt().catch(() => undefined);
        if (rtt !== undefined) linked.rtt = rtt;
      }),
    );
    this.#audience.changed();
  }

  #end(): void {
    clearInterval(this.#timer);
    this.#state = "left";
    this.#linked.clear();
    this.#trying.clear();
    this.#audience.changed();
  }
}
