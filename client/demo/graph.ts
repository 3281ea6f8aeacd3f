// The live map of the swarm: us in the centre, peers around, links between. Give it what is; it moves there.

import { svg } from "./dom.js";
import { type Layout, layout, type Point } from "./layout.js";
import { type Layers, PeerNode, SELF_RADIUS, type Shown } from "./node.js";
import { hue, short } from "./words.js";

export interface Scene {
  readonly self: string | undefined;
  readonly online: boolean;
  readonly peers: readonly Shown[];
  readonly selected: string | undefined;
}

/** How fast peers glide to their places: after this time two thirds of the way are done. */
const GLIDE_MS = 140;

export class Graph {
  readonly #root: SVGSVGElement;
  readonly #onSelect: (peer: string) => void;
  readonly #rings = svg("g", { class: "rings" });
  readonly #mesh = svg("g", { class: "mesh" });
  readonly #layers: Layers = { lines: svg("g"), pills: svg("g"), nodes: svg("g") };
  readonly #self = svg("g", { class: "self" });
  readonly #selfName = svg("text", { class: "node-name", y: SELF_RADIUS + 21 });
  readonly #nodes = new Map<string, PeerNode>();
  readonly #edges = new Map<string, { line: SVGLineElement; a: string; b: string }>();
  readonly #still = matchMedia("(prefers-reduced-motion: reduce)");
  #scene: Scene = { self: undefined, online: false, peers: [], selected: undefined };
  #centre: Point = { x: 0, y: 0 };
  #frame: number | undefined;
  #drawnAt = 0;

  constructor(root: SVGSVGElement, onSelect: (peer: string) => void) {
    this.#root = root;
    this.#onSelect = onSelect;
    const you = svg("text", { class: "self-you", y: 5 });
    you.textContent = "you";
    const waves = [0, 1].map((wave) => svg("circle", { class: `self-wave wave-${wave}`, r: SELF_RADIUS }));
    const disc = svg("circle", { class: "self-disc", r: SELF_RADIUS });
    this.#self.append(...waves, svg("circle", { class: "self-halo", r: SELF_RADIUS + 9 }), disc, you, this.#selfName);
    root.append(this.#rings, this.#mesh, this.#layers.lines, this.#layers.pills, this.#layers.nodes, this.#self);
    new ResizeObserver(() => this.render(this.#scene, true)).observe(root);
  }

  /** Shows this scene from now on. Cheap when little has changed; `jump` skips the way there. */
  render(scene: Scene, jump = false): void {
    this.#scene = scene;
    const { width, height } = this.#root.getBoundingClientRect();
    if (width === 0 || height === 0) return;
    this.#root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const of = (linked: boolean): string[] =>
      scene.peers.filter(({ state }) => (state === "linked") === linked).map(({ peer }) => peer);
    const plan = layout(width, height, of(true), of(false));
    this.#centre = plan.centre;
    this.#root.classList.toggle("compact", plan.compact);
    this.#renderSelf(scene);
    this.#renderRings(plan);
    this.#renderPeers(scene, plan);
    this.#renderMesh(scene);
    // Hidden tabs get no animation frames, and some people do not want to see things move.
    if (jump || document.hidden || this.#still.matches) this.#settle();
    else this.#glide();
  }

  #renderSelf({ self, online, peers }: Scene): void {
    this.#self.setAttribute("style", `--hue: ${hue(self ?? "")}`);
    this.#self.setAttribute("transform", `translate(${this.#centre.x} ${this.#centre.y})`);
    this.#self.classList.toggle("offline", !online);
    this.#self.classList.toggle("alone", online && peers.every(({ state }) => state !== "linked"));
    this.#selfName.textContent = self === undefined ? "" : short(self);
  }

  #renderRings({ centre, rings }: Layout): void {
    while (this.#rings.childElementCount > rings.length) this.#rings.lastElementChild?.remove();
    while (this.#rings.childElementCount < rings.length) this.#rings.append(svg("ellipse"));
    rings.forEach(({ rx, ry }, index) => {
      for (const [name, value] of Object.entries({ cx: centre.x, cy: centre.y, rx, ry })) {
        this.#rings.children[index]?.setAttribute(name, String(value));
      }
    });
  }

  #renderPeers({ peers, selected }: Scene, plan: Layout): void {
    const present = new Set(peers.map(({ peer }) => peer));
    for (const [peer, node] of this.#nodes) {
      if (present.has(peer)) continue;
      node.remove();
      this.#nodes.delete(peer);
    }
    for (const shown of peers) {
      const target = plan.places.get(shown.peer) ?? plan.centre;
      let node = this.#nodes.get(shown.peer);
      if (node === undefined) {
        node = new PeerNode(shown.peer, target, this.#layers, () => this.#onSelect(shown.peer));
        this.#nodes.set(shown.peer, node);
      }
      node.target = target;
      node.show(shown, shown.peer === selected);
    }
  }

  /** Links between others, as far as they told us. Either end's word is enough. */
  #renderMesh({ peers }: Scene): void {
    const linked = new Set(peers.filter(({ state }) => state === "linked").map(({ peer }) => peer));
    const wanted = new Map<string, [string, string]>();
    for (const { peer, neighbours } of peers) {
      for (const other of neighbours) {
        if (!linked.has(peer) || !linked.has(other) || other === peer) continue;
        const [a, b] = peer < other ? [peer, other] : [other, peer];
        wanted.set(`${a} ${b}`, [a, b]);
      }
    }
    for (const [key, { line }] of this.#edges) {
      if (wanted.has(key)) continue;
      line.remove();
      this.#edges.delete(key);
    }
    for (const [key, [a, b]] of wanted) {
      if (this.#edges.has(key)) continue;
      const line = svg("line");
      this.#mesh.append(line);
      this.#edges.set(key, { line, a, b });
    }
  }

  #settle(): void {
    for (const node of this.#nodes.values()) node.at = { ...node.target };
    this.#draw();
  }

  #glide(): void {
    this.#draw();
    if (this.#frame !== undefined) return;
    this.#drawnAt = performance.now();
    const step = (): void => {
      const now = performance.now();
      const share = 1 - Math.exp(-(now - this.#drawnAt) / GLIDE_MS);
      this.#drawnAt = now;
      let moving = false;
      for (const { at, target } of this.#nodes.values()) {
        const [dx, dy] = [target.x - at.x, target.y - at.y];
        if (Math.hypot(dx, dy) > 0.3) moving = true;
        at.x += dx * share;
        at.y += dy * share;
      }
      this.#draw();
      this.#frame = moving ? requestAnimationFrame(step) : undefined;
    };
    this.#frame = requestAnimationFrame(step);
  }

  #draw(): void {
    for (const node of this.#nodes.values()) node.draw(this.#centre);
    for (const { line, a, b } of this.#edges.values()) {
      const [from, to] = [this.#nodes.get(a)?.at, this.#nodes.get(b)?.at];
      if (from === undefined || to === undefined) continue;
      line.setAttribute("x1", from.x.toFixed(1));
      line.setAttribute("y1", from.y.toFixed(1));
      line.setAttribute("x2", to.x.toFixed(1));
      line.setAttribute("y2", to.y.toFixed(1));
    }
  }
}
