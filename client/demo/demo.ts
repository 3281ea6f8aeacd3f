// The demo page's entry: one session in the swarm, and the views that show it.

import { Composer, type Recipient } from "./composer.js";
import { byId } from "./dom.js";
import { sha256, type Transfer, tooLarge } from "./exchange.js";
import { FILE_LIMIT } from "./frames.js";
import { Graph } from "./graph.js";
import type { Received } from "./hooks.js";
import { Log } from "./log.js";
import { Session } from "./session.js";
import { Transfers } from "./transfers.js";
import { bytes, duration, hue, reason, short } from "./words.js";

class Page {
  readonly #log = new Log(byId("log", HTMLOListElement));
  readonly #graph = new Graph(byId("map", SVGSVGElement), (peer) => this.#select(peer));
  readonly #transfers = new Transfers(byId("transfers", HTMLUListElement));
  readonly #composer = new Composer({
    text: (to, text) => this.#sendText(to, text),
    file: (to, file) => void this.#sendFile(to, file),
    choose: (to) => this.#select(to),
  });
  readonly #received: Received[] = [];
  #session = this.#newSession();
  #selected: Recipient;
  #firstLinkMs: number | undefined;
  #renderDue = false;

  start(): void {
    byId("viewer", HTMLButtonElement).addEventListener("click", () => this.#openViewer());
    byId("viewer-too", HTMLButtonElement).addEventListener("click", () => this.#openViewer());
    byId("leave", HTMLButtonElement).addEventListener("click", () => void this.#leaveOrJoin());
    this.#exposeHooks();
    this.#render();
    void this.#session.join();
  }

  #newSession(): Session {
    return new Session({
      say: (text, options) => this.#log.add(text, options),
      text: (peer, said) => this.#log.add(`${short(peer)} says`, { peer, said }),
      transfer: (transfer) => this.#onTransfer(transfer),
      changed: () => this.#changed(),
    });
  }

  async #leaveOrJoin(): Promise<void> {
    if (this.#session.state !== "left") return this.#session.leave();
    this.#selected = undefined;
    this.#session = this.#newSession();
    return this.#session.join();
  }

  #openViewer(): void {
    // Not "noopener": a browser may give such a tab a process that it lets sleep at once.
    window.open(location.href, "_blank");
  }

  #select(peer: Recipient): void {
    this.#selected = peer === this.#selected ? undefined : peer;
    this.#changed();
  }

  #recipients(to: Recipient): string[] {
    return to === undefined ? this.#session.links : [to];
  }

  #sendText(to: Recipient, text: string): void {
    for (const peer of this.#recipients(to)) this.#session.exchange(peer)?.text(text);
    if (to === undefined) this.#log.add("You say to everyone", { mood: "said", said: text });
    else this.#log.add(`You say to ${short(to)}`, { mood: "said", peer: to, said: text });
  }

  async #sendFile(to: Recipient, file: File): Promise<void> {
    try {
      if (file.size > FILE_LIMIT) throw tooLarge(file.size);
      const content = new Uint8Array(await file.arrayBuffer());
      const hash = sha256(content);
      const all = this.#recipients(to).map((peer) => this.#session.exchange(peer)?.send(file.name, content, hash));
      await Promise.allSettled(all); // each has its row, which says how it ended
    } catch (error) {
      this.#log.add(`${file.name}: ${reason(error)}`, { mood: "bad" });
    }
  }

  #onTransfer(transfer: Transfer): void {
    this.#transfers.update(transfer);
    const { direction, state, name, size, peer, sha256 } = transfer;
    if (state !== "done" && state !== "failed") return;
    const what = `${name} (${bytes(size)}) ${direction === "up" ? "to" : "from"} ${short(peer)}`;
    if (state === "failed") this.#log.add(`${what}: ${transfer.reason ?? "failed"}`, { mood: "bad", peer });
    else this.#log.add(`${direction === "up" ? "Sent" : "Received"} ${what}, hash verified`, { mood: "good", peer });
    if (direction === "down" && sha256 !== undefined) {
      this.#received.push({ name, size, sha256, ok: state === "done", from: peer });
    }
  }

  /** Many things change at once: they are shown together, a frame later. A timer, since hidden tabs get no frames. */
  #changed(): void {
    if (this.#renderDue) return;
    this.#renderDue = true;
    setTimeout(() => {
      this.#renderDue = false;
      this.#render();
    }, 16);
  }

  #render(): void {
    const session = this.#session;
    const { state, swarm, links } = session;
    const online = state !== "left";
    const peers = session.shown();
    const self = online ? swarm?.peer : undefined;
    if (!peers.some(({ peer }) => peer === this.#selected)) this.#selected = undefined;
    this.#firstLinkMs ??= session.firstLinkMs;

    document.body.setAttribute("data-state", state);
    show("swarm", session.name || "…");
    show("state", state);
    show("self", self === undefined ? "–" : short(self));
    byId("self-dot", HTMLSpanElement).style.setProperty("--hue", String(hue(self ?? "")));
    byId("self-dot", HTMLSpanElement).classList.toggle("none", self === undefined);
    showNumber("first-link", this.#firstLinkMs === undefined ? "–" : duration(this.#firstLinkMs));
    showNumber("size", online && swarm !== undefined ? String(Math.max(swarm.size, links.length + 1)) : "–");
    showNumber("link-count", String(links.length));
    showNumber("rtt", session.medianRtt === undefined ? "–" : duration(session.medianRtt));
    show("leave", online ? "Leave" : "Join again");
    document.title = links.length > 0 ? `(${links.length}) Starling` : "Starling";

    this.#graph.render({ self, online: state === "joined", peers, selected: this.#selected });
    this.#composer.render(links, this.#selected);
    this.#renderEmpty(peers.length);
    this.#renderDetails();
  }

  /** What to say while there is nothing to see. */
  #renderEmpty(peers: number): void {
    const { state, rejected } = this.#session;
    byId("empty", HTMLDivElement).hidden = peers > 0;
    byId("viewer-too", HTMLButtonElement).hidden = state !== "joined";
    const words = {
      connecting: ["Connecting", "Asking the server for a way in."],
      reconnecting: ["Reconnecting", "The connection to the server is away. It comes back by itself."],
      joined: ["You are the first here", "Open another viewer, and the two browsers will find each other."],
      left:
        rejected === undefined ? ["You have left", "Join again whenever you like."] : ["Not in the swarm", rejected],
    }[state];
    show("empty-title", words[0] ?? "");
    show("empty-text", words[1] ?? "");
  }

  #renderDetails(): void {
    const peer = this.#selected;
    const details = byId("details", HTMLParagraphElement);
    details.classList.toggle("chosen", peer !== undefined);
    details.style.setProperty("--hue", String(hue(peer ?? "")));
    if (peer === undefined) {
      const { links } = this.#session;
      details.textContent =
        links.length > 0
          ? "Lines are open data channels, thin ones those among others. Choose a peer to see more and to send to it alone."
          : "Every circle will be a browser, every line a direct connection between two of them.";
      return;
    }
    const linked = this.#session.link(peer);
    const listed = this.#session.swarm?.peers.get(peer);
    const facts = [peer, linked ? `linked in ${duration(linked.link.openedInMs)}` : "not linked"];
    if (linked?.rtt !== undefined) facts.push(`round trip ${duration(linked.rtt)}`);
    if (listed !== undefined) facts.push(near[listed.near], `score ${listed.score.toFixed(2)}`);
    details.textContent = facts.join(" · ");
  }

  #exposeHooks(): void {
    const page = this;
    window.starling = {
      received: this.#received,
      get swarm() {
        return page.#session.swarm;
      },
      get firstLinkMs() {
        return page.#firstLinkMs ?? page.#session.firstLinkMs;
      },
      get rejected() {
        return page.#session.rejected;
      },
      links: () => page.#session.links,
      async sendBytes(peer, name, content) {
        const exchange = page.#session.exchange(peer);
        if (exchange === undefined) throw new Error(`not linked with ${peer}`);
        const hash = sha256(content);
        await exchange.send(name, content, hash);
        return { sha256: await hash };
      },
    };
  }
}

const near = { lan: "same network", asn: "same provider", country: "same country", far: "somewhere" } as const;

function show(id: string, text: string): void {
  const place = byId(id, HTMLElement);
  if (place.textContent !== text) place.textContent = text;
}

/** A number of the row above the map; a dash, fainter, while there is none. */
function showNumber(id: string, text: string): void {
  show(id, text);
  byId(id, HTMLElement).classList.toggle("none", text === "–");
}

new Page().start();
