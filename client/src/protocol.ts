// The client protocol, version 1: its limits, its types, and how replies and publications are read. What comes in is
// checked here, so that no other file sees an unknown shape. Unknown fields are ignored: a newer server is welcome.

export const VERSION = 1;

/** Limits of the server; a call over them is refused whole, so the client splits. */
export const LIMITS = {
  signalsPerCall: 16,
  receipts: 16,
  /** A report is at most 4 KiB, of which all but its receipts never needs more than what is left here. */
  receiptBytes: 3600,
  bytesPerCall: 64 * 1024,
  candidatesPerSignal: 20,
  sdpBytes: 8 * 1024,
  want: 16,
  exclude: 64,
  reason: 64,
  tag: 64,
} as const;

/** How near a peer is. */
export type Near = "lan" | "asn" | "country" | "far";

export interface Listed {
  readonly peer: string;
  readonly ticket: string;
  readonly score: number;
  readonly near: Near;
}

/** The reply to `join` and `peers`, and `first` of the connect reply. */
export interface PeerList {
  readonly peers: readonly Listed[];
  readonly size: number;
  readonly nextMs: number;
  /** Whether we are a member; a server that was started anew may have forgotten us. */
  readonly joined: boolean;
}

/** How the server wants clients to behave. It may change at any time. */
export interface Policy {
  /** Between two reports while there are links. */
  readonly reportMs: number;
  /** Longest time between two calls. */
  readonly idleMs: number;
  /** Most peers to ask for at once. */
  readonly want: number;
  /** Links to aim at. */
  readonly degreeTarget: number;
  /** Links beyond which offers are refused. */
  readonly degreeMax: number;
  /** How long to gather candidates before a description is sent. */
  readonly gatherMs: number;
  /** When links may go through TURN. */
  readonly turn: "on_failure" | "never" | "only";
  /** Whether anything may be sent to peers. This is for the application to obey: what is sent on a link is its own. */
  readonly upload: boolean;
}

export interface Welcome {
  readonly peer: string;
  readonly resume: string;
  readonly policy: Policy;
  /** What the server calls this policy; empty when it has no name for it. */
  readonly tag: string;
  readonly iceServers: readonly RTCIceServer[];
  readonly first?: PeerList;
}

/** What a signal says. Exactly one of the four on the wire. */
export type Said =
  | { readonly offer: { readonly sdp: string } }
  | { readonly answer: { readonly sdp: string } }
  | { readonly candidates: readonly string[]; readonly end?: true }
  | { readonly bye: { readonly reason: string } };

export type Outgoing = {
  readonly to: string;
  readonly ticket: string;
  readonly session: string;
  readonly seq: number;
} & Said;

export type Incoming = {
  readonly from: string;
  readonly swarm: string;
  readonly session: string;
  readonly seq: number;
  readonly ticket: string;
} & Said;

export type SignalResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: number; readonly message: string; readonly retryMs?: number };

type Fields = Readonly<Record<string, unknown>>;

export function readWelcome(data: unknown): Welcome | undefined {
  const from = fields(data);
  const peer = text(from["peer"]);
  if (peer === "") return undefined;
  const welcome = {
    peer,
    resume: text(from["resume"]),
    policy: readPolicy(from["policy"]),
    tag: readTag(from["policy"]),
    iceServers: list(from["ice_servers"]).filter(isIceServer),
  };
  return "first" in from && from["first"] !== null ? { ...welcome, first: readPeers(from["first"]) } : welcome;
}

/** A field that is missing or out of range takes the protocol's default. */
export function readPolicy(data: unknown): Policy {
  const from = fields(data);
  const degreeTarget = number(from["degree_target"], 8, 0, 256);
  const turn = from["turn"];
  return {
    reportMs: number(from["report_interval_s"], 10, 5, 600) * 1000,
    idleMs: number(from["idle_interval_s"], 30, 1, 3600) * 1000,
    want: number(from["want"], 8, 0, LIMITS.want),
    degreeTarget,
    degreeMax: Math.max(degreeTarget, number(from["degree_max"], 12, 0, 256)),
    gatherMs: number(from["gather_ms"], 150, 0, 10_000),
    turn: turn === "never" || turn === "only" ? turn : "on_failure",
    upload: from["upload"] !== false,
  };
}

/** One that is longer than any server's is not repeated in reports, which have to stay small. */
function readTag(policy: unknown): string {
  const tag = text(fields(policy)["tag"]);
  return tag.length <= LIMITS.tag ? tag : "";
}

/** The policy in the reply to a report; it is there only when it differs from the one that the report named. */
export function readReported(data: unknown): Pick<Welcome, "policy" | "tag"> | undefined {
  const policy = fields(data)["policy"];
  if (typeof policy !== "object" || policy === null) return undefined;
  return { policy: readPolicy(policy), tag: readTag(policy) };
}

/** Whether two policies ask for the same. */
export function samePolicy(one: Policy, other: Policy): boolean {
  const names = Object.keys(one) as (keyof Policy)[];
  return names.every((name) => one[name] === other[name]);
}

export function readPeers(data: unknown): PeerList {
  const from = fields(data);
  return {
    peers: list(from["peers"]).flatMap(readListed),
    size: number(from["swarm_size"], 0, 0, Number.MAX_SAFE_INTEGER),
    nextMs: number(from["next_ms"], 5000, 0, 3_600_000),
    joined: from["joined"] !== false,
  };
}

function readListed(data: unknown): Listed[] {
  const from = fields(data);
  const [peer, ticket, near] = [text(from["peer"]), text(from["ticket"]), from["near"]];
  if (peer === "" || ticket === "") return [];
  const known = near === "lan" || near === "asn" || near === "country" ? near : "far";
  return [{ peer, ticket, score: number(from["score"], 0, 0, 1), near: known }];
}

/** The signals of an inbox publication; one that does not read as a signal is left out, the others stand. */
export function readInbox(data: unknown): Incoming[] {
  return list(fields(data)["signals"]).flatMap((signal) => {
    const from = fields(signal);
    const said = readSaid(from);
    const head = {
      from: text(from["from"]),
      swarm: text(from["swarm"]),
      session: text(from["session"]),
      seq: number(from["seq"], -1, 0, Number.MAX_SAFE_INTEGER),
      ticket: text(from["ticket"]),
    };
    const complete = head.from !== "" && head.session !== "" && Number.isInteger(head.seq) && head.seq >= 0;
    return said !== undefined && complete ? [{ ...head, ...said }] : [];
  });
}

function readSaid(from: Fields): Said | undefined {
  const offer = text(fields(from["offer"])["sdp"]);
  if (offer !== "") return { offer: { sdp: offer } };
  const answer = text(fields(from["answer"])["sdp"]);
  if (answer !== "") return { answer: { sdp: answer } };
  if (Array.isArray(from["candidates"])) {
    const candidates = from["candidates"].filter((one): one is string => typeof one === "string");
    return from["end"] === true ? { candidates, end: true } : { candidates };
  }
  if (typeof from["bye"] === "object" && from["bye"] !== null) {
    return { bye: { reason: text(fields(from["bye"])["reason"]).slice(0, LIMITS.reason) } };
  }
  return undefined;
}

/** One result per signal, in order; a missing one counts as trouble on the server's side. */
export function readResults(data: unknown, count: number): SignalResult[] {
  const results = list(fields(data)["results"]);
  return Array.from({ length: count }, (_, i): SignalResult => {
    const from = fields(results[i]);
    if (from["ok"] === true) return { ok: true };
    const error = fields(from["error"]);
    const result = { ok: false, code: number(error["code"], 503, 0, 9999), message: text(error["message"]) } as const;
    const retry = error["retry_ms"];
    return typeof retry === "number" && retry >= 0 ? { ...result, retryMs: retry } : result;
  });
}

function fields(data: unknown): Fields {
  return typeof data === "object" && data !== null ? (data as Fields) : {};
}

function list(data: unknown): readonly unknown[] {
  return Array.isArray(data) ? data : [];
}

function text(data: unknown): string {
  return typeof data === "string" ? data : "";
}

function number(data: unknown, fallback: number, least: number, most: number): number {
  return typeof data === "number" && data >= least && data <= most ? data : fallback;
}

function isIceServer(data: unknown): data is RTCIceServer {
  const urls = fields(data)["urls"];
  return typeof urls === "string" || (Array.isArray(urls) && urls.every((url) => typeof url === "string"));
}
