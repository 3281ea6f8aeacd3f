// Asks the STUN servers of a configuration what they see of us: one connection that links to nobody.
import type { Account } from "./account.js";
import type { Connect } from "./mesh.js";
import { type Candidate, type Gathered, natOf, serverOf, stunUrls } from "./nat.js";
import { onNetworkChange } from "./page.js";
import type { Nat } from "./types.js";

/** A server that is there has answered by then, after being asked several times. */
export const PATIENCE_MS = 3000;

/** Knows whether to look again, and notes what was found. */
export class NatWatch {
  readonly #account: Account;
  readonly #connect: Connect;
  readonly #stopListening: () => void;
  readonly #ending = new AbortController();
  /** Whether we may be in a network of which nothing is known. */
  #isNew = true;
  #looks = 0;

  constructor(account: Account, connect: Connect) {
    this.#account = account;
    this.#connect = connect;
    this.#stopListening = onNetworkChange(() => this.networkChanged());
  }

  /** What was found does not hold any more. */
  networkChanged(): void {
    this.#isNew = true;
    this.#account.nat = undefined;
  }

  /** Once in each network. Says whether there is something new to tell. */
  async look(rtc: RTCConfiguration): Promise<boolean> {
    if (!this.#isNew || this.#account.knowsNat) return false;
    this.#isNew = false;
    const look = ++this.#looks;
    const nat = await findNat(this.#connect, rtc, this.#ending.signal);
    if (nat === "unknown" || this.#isNew || look !== this.#looks || this.#ending.signal.aborted) return false;
    this.#account.nat = nat;
    return true;
  }

  stop(): void {
    this.#stopListening();
    this.#ending.abort();
  }
}

/** Finds what our NAT does; `unknown` where fewer than two servers can be asked. Never rejects; ends with `signal`. */
export async function findNat(connect: Connect, rtc: RTCConfiguration, signal: AbortSignal): Promise<Nat> {
  const urls = stunUrls(rtc);
  // Who may only be reached by relays is not to show its own addresses to anybody.
  if (urls.length < 2 || rtc.iceTransportPolicy === "relay" || signal.aborted) return "unknown";
  try {
    const connection = connect({ iceServers: [{ urls }] });
    try {
      return natOf(await gather(connection, urls, signal));
    } finally {
      connection.close();
    }
  } catch {
    return "unknown"; // too many connections, or servers that the browser does not take
  }
}

async function gather(connection: RTCPeerConnection, urls: readonly string[], signal: AbortSignal): Promise<Gathered> {
  const candidates: Candidate[] = [];
  const errors: { url: string; address: string | null }[] = [];
  let complete = false;
  const over = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, PATIENCE_MS);
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", end, { once: true });
    connection.addEventListener("icecandidate", (event) => {
      const { candidate } = event;
      if (candidate !== null && candidate.candidate !== "") {
        candidates.push(withUrl(candidate, event));
      } else if (candidate === null) {
        complete = true;
        end();
      }
    });
    connection.addEventListener("icecandidateerror", ({ url, address }) => errors.push({ url, address }));
  });
  connection.createDataChannel("probe");
  await connection.setLocalDescription();
  await over;
  return { servers: urls.flatMap((url) => serverOf(url) ?? []), candidates, errors, complete };
}

/** The address of the server stands in the candidate; in older browsers, in the event. */
function withUrl(candidate: RTCIceCandidate, event: RTCPeerConnectionIceEvent): Candidate {
  const { type, protocol, address, port, relatedAddress, relatedPort, foundation } = candidate;
  const urls = [candidate, event].map((place) => ("url" in place && typeof place.url === "string" ? place.url : ""));
  const url = urls.find((one) => one !== "");
  return { type, protocol, address, port, relatedAddress, relatedPort, foundation, url };
}
