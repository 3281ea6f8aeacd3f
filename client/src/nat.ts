// How our network maps addresses: "mapping behaviour" of RFC 4787, section 4.1, found as RFC 5780, section 4.3 does it: ask
// two STUN servers from one socket, and compare what they saw. A browser shows candidates instead of sockets, so that is
// what is compared.
import type { Nat } from "./types.js";

/** What a browser says of a candidate. */
export type Candidate = Pick<
  RTCIceCandidate,
  "type" | "protocol" | "address" | "port" | "relatedAddress" | "relatedPort" | "foundation"
> & {
  /** The server that saw it, where the browser says so. */
  readonly url?: string | null | undefined;
};

/** What came of asking servers from one connection. */
export interface Gathered {
  /** Who was asked, as `serverOf` names them. */
  readonly servers: readonly string[];
  readonly candidates: readonly Candidate[];
  /** Servers that did not answer, each with our address from which it was asked, where the browser says so. */
  readonly errors: readonly { readonly url: string; readonly address?: string | null | undefined }[];
  /** Whether the browser was through with it: every server had answered or failed. */
  readonly complete: boolean;
}

type Family = 4 | 6;

/** A STUN server over UDP as `host:port`, so that one that is written in two ways is known again. */
export function serverOf(url: string): string | undefined {
  const [, host, port] = /^stun:(\[[^\]]+\]|[^:?]+)(?::(\d+))?(?:\?.*)?$/i.exec(url) ?? [];
  return host === undefined ? undefined : `${host.toLowerCase()}:${Number(port ?? 3478)}`;
}

/** One address for each STUN server in a configuration. */
export function stunUrls({ iceServers = [] }: RTCConfiguration): string[] {
  const byServer = new Map<string, string>();
  for (const url of iceServers.flatMap(({ urls }) => urls)) {
    const server = serverOf(url);
    if (server !== undefined && !byServer.has(server)) byServer.set(server, url);
  }
  return [...byServer.values()];
}

/**
 * What a network does with addresses, as far as the answers show it. IPv4 decides where we have it, since that is where
 * NATs are; of several ways out the best counts, since one is enough for a link.
 *
 * Never `blocked`, although that is what no answer looks like: a peer that says so is not listed, and silent STUN servers
 * are seldom a matter of one peer's network. They would take everybody off the lists.
 */
export function natOf({ servers, candidates, errors, complete }: Gathered): Nat {
  const udp = candidates.filter(({ protocol }) => protocol === "udp");
  const family = ([4, 6] as const).find((one) => udp.some(({ address }) => familyOf(address) === one));
  if (family === undefined) return "unknown";
  // An IPv6 socket that cannot reach a server of IPv4 says nothing of our IPv4 network.
  const silent = errors.filter(({ address }) => (familyOf(address) ?? family) === family);
  const answers = servers.length - new Set(silent.map(({ url }) => serverOf(url) ?? url)).size;
  const isWitnessed = complete && answers >= 2;
  const ours = udp.filter(({ address }) => familyOf(address) === family);
  const reflexive = ours.filter(({ type }) => type === "srflx");
  if (reflexive.length === 0) {
    const isPublic = ours.some(({ type, address }) => type === "host" && isGlobal(address));
    return isPublic && isWitnessed ? "open" : "unknown"; // browsers leave out what is a host candidate already
  }
  const hosts = udp.filter(({ type, address }) => type === "host" && (familyOf(address) ?? family) === family);
  const seen = byBase(reflexive).map((group) => behaviour(group, hosts.length, isWitnessed));
  return (["open", "eim", "apdm"] as const).find((nat) => seen.includes(nat)) ?? "unknown";
}

/** What one socket's mappings show. Several sockets may have got in here whose addresses the browser hides. */
function behaviour(group: readonly Candidate[], hosts: number, isWitnessed: boolean): Nat {
  const mappings = new Set(group.map(({ address, port }) => `${address} ${port}`));
  const [one] = group;
  if (one !== undefined && mappings.size === 1) {
    // A mapping that two servers saw is one candidate in all browsers. It has the address of the first; that there was a
    // second is seen from its coming neither as another candidate nor as an error. (Firefox tells no errors before 2026.
    // There a server whose name cannot be resolved passes for one that answered; one that is silent still does not, as
    // gathering does not complete in our time.)
    const witnesses = new Set(group.flatMap(({ url }) => (url ? (serverOf(url) ?? url) : [])));
    if (witnesses.size < 2 && !isWitnessed) return "unknown";
    return bare(one.address) === bare(one.relatedAddress) && one.port === one.relatedPort ? "open" : "eim";
  }
  // Candidates of one foundation come from one address of ours (RFC 8445, section 5.1.1.3). Of two foundations that need
  // not be, and Firefox has one for each server.
  const foundations = new Set(group.map(({ foundation }) => foundation));
  const isOneSocket = group.every(hasBase) || foundations.size < mappings.size || hosts <= 1;
  return isOneSocket ? "apdm" : "unknown";
}

/** Sorted by the socket that they belong to; those for which that is hidden are together. */
function byBase(candidates: readonly Candidate[]): Candidate[][] {
  const groups = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const base = hasBase(candidate) ? `${candidate.relatedAddress} ${candidate.relatedPort}` : "";
    const group = groups.get(base);
    if (group === undefined) groups.set(base, [candidate]);
    else group.push(candidate);
  }
  return [...groups.values()];
}

/** Where host addresses are names (mDNS), the related address is 0.0.0.0 or ::, and its port 0 or 9. */
function hasBase({ relatedAddress, relatedPort }: Candidate): boolean {
  return !!relatedAddress && relatedAddress !== "0.0.0.0" && relatedAddress !== "::" && (relatedPort ?? 0) !== 0;
}

/** None for a name. An error's address is blacked out at its end, such as `192.168.1.x`. */
function familyOf(address: string | null | undefined): Family | undefined {
  if (address?.includes(":")) return 6;
  return address && /^\d+\.\d+\.\d+\.(\d+|x)$/.test(address) ? 4 : undefined;
}

/** Chromium writes some addresses of IPv6 in brackets. */
function bare(address: string | null): string | undefined {
  return address?.replace(/^\[|\]$/g, "").toLowerCase();
}

/** Whether an address is not one of those that networks use inside, as far as that can be told from it. */
function isGlobal(address: string | null): boolean {
  if (familyOf(address) === 6) return /^\[?[23]/.test(address ?? ""); // 2000::/3 is what is handed out
  const [a = 0, b = 0] = (address ?? "").split(".").map(Number);
  const isInside =
    a === 0 ||
    a === 10 ||
    a === 127 ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168);
  return familyOf(address) === 4 && !isInside && a < 224;
}
