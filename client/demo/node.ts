// One peer on the map: its circle, its line to us, and the pill with the round-trip time.

import { svg } from "./dom.js";
import type { Point } from "./layout.js";
import { hue, short } from "./words.js";

/** A peer as the map shows it. */
export interface Shown {
  readonly peer: string;
  readonly state: "listed" | "trying" | "linked";
  /** The round-trip time in words, once measured. */
  readonly label?: string;
  /** Whether a file is on its way to or from it. */
  readonly up: boolean;
  readonly down: boolean;
  /** Peers that it says it is linked with. */
  readonly neighbours: readonly string[];
}

/** The layers of the map that a peer has a part in, from below. */
export interface Layers {
  lines: SVGGElement;
  pills: SVGGElement;
  nodes: SVGGElement;
}

const RADIUS = { listed: 13, trying: 15, linked: 24 } as const;
/** Between the end of a line and the circle it points to. */
const GAP = 5;
export const SELF_RADIUS = 34;

export class PeerNode {
  /** Where it is; the map moves it towards `target`. */
  at: Point;
  target: Point;
  readonly #group: SVGGElement;
  readonly #circle: SVGCircleElement;
  readonly #name: SVGTextElement;
  readonly #spoke: SVGGElement;
  readonly #lines: SVGLineElement[];
  readonly #pill: SVGGElement;
  readonly #pillBox: SVGRectElement;
  readonly #pillText: SVGTextElement;
  #radius: number = RADIUS.listed;

  constructor(peer: string, at: Point, layers: Layers, onSelect: () => void) {
    this.at = { ...at };
    this.target = at;
    const style = `--hue: ${hue(peer)}`;

    this.#lines = ["spoke-line", "spoke-flow up", "spoke-flow down"].map((name) => svg("line", { class: name }));
    this.#lines[0]?.setAttribute("pathLength", "1");
    this.#spoke = svg("g", { class: "spoke", style });
    this.#spoke.append(...this.#lines);
    layers.lines.append(this.#spoke);

    this.#pillBox = svg("rect", { height: 20, y: -10, rx: 10 });
    this.#pillText = svg("text", { y: 4 });
    this.#pill = svg("g", { class: "pill", style, "aria-hidden": "true" });
    this.#pill.append(this.#pillBox, this.#pillText);
    layers.pills.append(this.#pill);

    this.#circle = svg("circle", { class: "node-disc" });
    const initials = svg("text", { class: "node-initials", y: 5 });
    initials.textContent = peer.slice(0, 2);
    this.#name = svg("text", { class: "node-name" });
    this.#name.textContent = short(peer);
    this.#group = svg("g", { class: "node", style, tabindex: 0, role: "button" });
    const body = svg("g", { class: "node-body" });
    body.append(svg("circle", { class: "node-pulse", r: RADIUS.linked }), this.#circle, initials, this.#name);
    this.#group.append(body);
    this.#group.addEventListener("click", onSelect);
    this.#group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      onSelect();
    });
    layers.nodes.append(this.#group);
  }

  show(shown: Shown, selected: boolean): void {
    this.#radius = RADIUS[shown.state];
    this.#circle.setAttribute("r", String(this.#radius));
    for (const part of [this.#group, this.#spoke, this.#pill]) part.setAttribute("data-state", shown.state);
    this.#spoke.classList.toggle("sending", shown.up);
    this.#spoke.classList.toggle("receiving", shown.down);
    this.#group.classList.toggle("selected", selected);
    this.#spoke.classList.toggle("selected", selected);
    this.#group.setAttribute("aria-pressed", String(selected));
    const state = { listed: "listed", trying: "linking", linked: "linked" }[shown.state];
    const time = shown.label ? `, round trip ${shown.label}` : "";
    this.#group.setAttribute("aria-label", `Peer ${short(shown.peer)}, ${state}${time}`);
    this.#pillText.textContent = shown.label ?? "";
    const width = (shown.label ?? "").length * 6.3 + 18;
    this.#pillBox.setAttribute("width", String(width));
    this.#pillBox.setAttribute("x", String(-width / 2));
    this.#pill.toggleAttribute("hidden", shown.label === undefined || shown.state !== "linked");
  }

  /** Draws it where it is now, with its line from `centre`. */
  draw(centre: Point): void {
    const { x, y } = this.at;
    this.#group.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    // The name stands on the far side of the circle, where no line runs.
    this.#name.setAttribute("y", String(y < centre.y - 30 ? -this.#radius - 11 : this.#radius + 19));
    const length = Math.max(1, Math.hypot(x - centre.x, y - centre.y));
    const along = (distance: number): Point => ({
      x: centre.x + ((x - centre.x) * distance) / length,
      y: centre.y + ((y - centre.y) * distance) / length,
    });
    const from = along(Math.min(length, SELF_RADIUS + GAP));
    const to = along(Math.max(0, length - this.#radius - GAP));
    for (const line of this.#lines) {
      line.setAttribute("x1", from.x.toFixed(1));
      line.setAttribute("y1", from.y.toFixed(1));
      line.setAttribute("x2", to.x.toFixed(1));
      line.setAttribute("y2", to.y.toFixed(1));
    }
    const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
    this.#pill.setAttribute("transform", `translate(${middle.x.toFixed(1)} ${middle.y.toFixed(1)})`);
  }

  /** Fades out, then goes. */
  remove(): void {
    for (const part of [this.#group, this.#spoke, this.#pill]) {
      part.classList.add("gone");
      part.removeAttribute("tabindex");
      setTimeout(() => part.remove(), 400);
    }
  }
}
