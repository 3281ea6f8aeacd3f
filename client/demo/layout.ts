// Where the peers of the map go: linked ones on a ring around us, those only listed on a fainter ring outside. Pure.

export interface Point {
  x: number;
  y: number;
}

export interface Ring {
  rx: number;
  ry: number;
}

export interface Layout {
  centre: Point;
  /** There is no room for what can be left out. */
  compact: boolean;
  rings: Ring[];
  places: Map<string, Point>;
}

/** Room for a node and its label between the outermost ring and the edge. */
const MARGIN = { x: 64, y: 60 };
/** The same on a phone, where every pixel goes to the lines. */
const NARROW = 480;
const NARROW_MARGIN_X = 42;
/** How wide a ring may be for its height, so that a wide window does not pull it into a line. */
const MAX_STRETCH = 1.6;

export function layout(width: number, height: number, linked: readonly string[], listed: readonly string[]): Layout {
  const centre = { x: width / 2, y: height / 2 };
  const compact = width < NARROW;
  const ry = Math.max(60, height / 2 - MARGIN.y);
  const rx = Math.max(60, width / 2 - (compact ? NARROW_MARGIN_X : MARGIN.x));
  const full = { rx: Math.min(rx, ry * MAX_STRETCH), ry };
  // With a second ring outside, the first one makes way.
  const inner = scale(full, listed.length > 0 ? 0.68 : compact ? 1 : nearness(linked.length));
  const outer = scale(full, linked.length > 0 ? 1 : 0.8);
  const places = new Map<string, Point>();
  spread(linked, inner, centre, places, compact && linked.length <= 2 ? -Math.PI / 6 : 0);
  spread(listed, outer, centre, places, linked.length > 0 ? Math.PI / 7 : 0);
  const rings = [...(linked.length > 0 ? [inner] : []), ...(listed.length > 0 ? [outer] : [])];
  return { centre, compact, rings: rings.length > 0 ? rings : [scale(full, 0.45)], places };
}

/** A few peers sit closer, many need the room. */
function nearness(peers: number): number {
  return peers <= 2 ? 0.74 : peers <= 6 ? 0.88 : 0.98;
}

function scale(ring: Ring, by: number): Ring {
  return { rx: ring.rx * by, ry: ring.ry * by };
}

/** Evenly, symmetric to the vertical axis; one or two peers stand a little aslant, which looks less like a ruler. */
function spread(peers: readonly string[], ring: Ring, centre: Point, into: Map<string, Point>, turn: number): void {
  const step = (2 * Math.PI) / Math.max(1, peers.length);
  const tilt = peers.length <= 2 ? -Math.PI / 9 : 0;
  const start = peers.length <= 2 ? 0 : peers.length % 2 === 0 ? -Math.PI / 2 + step / 2 : -Math.PI / 2;
  peers.forEach((peer, index) => {
    const angle = start + tilt + turn + index * step;
    into.set(peer, { x: centre.x + ring.rx * Math.cos(angle), y: centre.y + ring.ry * Math.sin(angle) });
  });
}
