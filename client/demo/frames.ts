// What two pages say to each other on a link: JSON text frames, and binary frames that belong to the file announced last.
// The other side is a stranger: whatever does not parse is `undefined`, and nothing further in checks again.

/** The largest file that the demo takes; it is held in memory on both sides. */
export const FILE_LIMIT = 256 * 1024 * 1024;
const TEXT_LIMIT = 4000;
const NAME_LIMIT = 200;
const NEIGHBOUR_LIMIT = 64;

export type Frame =
  | { type: "text"; text: string }
  /** Whom I am linked with, so that the map can show more than its own links. */
  | { type: "links"; peers: string[] }
  /** The binary frames from here on are this file. */
  | { type: "file"; id: string; name: string; size: number }
  | { type: "file-end"; id: string; sha256: string }
  /** From the receiver: it is here, and its hash is (or is not) the one announced. */
  | { type: "file-received"; id: string; sha256: string; ok: boolean }
  /** From either side: no more of this file. */
  | { type: "file-cancel"; id: string; reason: string };

export function encode(frame: Frame): string {
  return JSON.stringify(frame);
}

export function parse(data: string): Frame | undefined {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const get = (name: string): unknown => Reflect.get(Object(value), name);
  const id = get("id");
  const sha256 = get("sha256");
  const reason = get("reason");
  switch (get("type")) {
    case "text": {
      const text = get("text");
      return isText(text, TEXT_LIMIT) ? { type: "text", text } : undefined;
    }
    case "links": {
      const peers = get("peers");
      return isPeers(peers) ? { type: "links", peers } : undefined;
    }
    case "file": {
      const name = get("name");
      const size = get("size");
      return isId(id) && isText(name, NAME_LIMIT) && isSize(size) ? { type: "file", id, name, size } : undefined;
    }
    case "file-end":
      return isId(id) && isHash(sha256) ? { type: "file-end", id, sha256 } : undefined;
    case "file-received":
      return isId(id) && isHash(sha256) ? { type: "file-received", id, sha256, ok: get("ok") === true } : undefined;
    case "file-cancel":
      return isId(id) && isText(reason, NAME_LIMIT) ? { type: "file-cancel", id, reason } : undefined;
    default:
      return undefined;
  }
}

/** Cut to what the other side accepts. */
export function clip(text: string): string {
  return text.slice(0, TEXT_LIMIT);
}

/** A file's name without folders, cut to what the other side accepts. */
export function fileName(name: string): string {
  return (name.split(/[/\\]/).pop() || "file").slice(-NAME_LIMIT);
}

function isText(value: unknown, limit: number): value is string {
  return typeof value === "string" && value.length <= limit;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && /^[\w-]{1,36}$/.test(value);
}

function isHash(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

/** Any size is well-formed; one over the limit is refused with a reason, further in. */
function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isPeers(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= NEIGHBOUR_LIMIT && value.every((peer) => isText(peer, 64));
}
