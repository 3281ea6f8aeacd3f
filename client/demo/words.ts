// How the page says things: short ids, colours of peers, times, sizes. Pure functions, no DOM.

/** Enough of an id to tell twelve peers apart at a glance. */
export function short(peer: string): string {
  return peer.slice(0, 6);
}

/** The hue of a peer, the same in every tab because it depends on nothing but the id (FNV-1a, spread by the golden angle). */
export function hue(peer: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < peer.length; at += 1) {
    hash = Math.imul(hash ^ peer.charCodeAt(at), 0x01000193) >>> 0;
  }
  return Math.round((hash * 137.508) % 360);
}

/** "< 1 ms", "12 ms", "1.2 s": as fine as browsers let round-trip times be. */
export function duration(ms: number): string {
  if (ms < 0.5) return "< 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** "812 B", "1.0 MB", "256 MB": powers of 1024, as file managers count. */
export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** "1 viewer", "3 viewers". */
export function count(number: number, one: string): string {
  return `${number} ${one}${number === 1 ? "" : "s"}`;
}

/** The time of day, to the second. */
export function clock(at: Date): string {
  return at.toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** What went wrong, in words, whatever was thrown. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${reason(error.cause)}` : error.message;
}
