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
  #looking: Promise<void> | undefined;

  /** `changed` is called when the browser says that the network is another one. */
  constructor(account: Account, connect: Connect, changed: () => void) {
    this.#account = account;
    this.#connect = connect;
    this.#stopListening = onNetworkChange(() => {
      this.networkChanged();
      changed();
    });
  }

  /** What was found does not hold any more. */
  networkChanged(): void {
    this.#isNew = true;
    this.#account.nat = undefined;
  }

  /** Looks once in each network, and resolves when that is over. There may be nothing to wait for. */
  look(rtc: RTCConfiguration): Promise<void> | undefined {
    const urls = askable(rtc);
    if (this.#isNew && urls.length > 0 && !this.#account.saysNat) {
      this.#isNew = false;
      this.#looking = this.#look(urls);
    }
    return this.#looking;
  }

  stop(): void {
    this.#stopListening();
    this.#ending.abort();
  }

  async #look(urls: string[]): Promise<void> {
    const look = ++this.#looks;
    const nat = await findNat(this.#connect, urls, this.#ending.signal);
    if (nat === "unknown" || this.#isNew || look !== this.#looks || this.#ending.signal.aborted) return;
    this.#account.nat = nat;
  }
}

/** The STUN servers to ask: none where one alone would have nothing to be compared with. */
function askable(rtc: RTCConfiguration): string[] {
  const urls = stunUrls(rtc);
  // Who may only be reached by relays is not to show its own addresses to anybody.
  return urls.length < 2 || rtc.iceTransportPolicy === "relay" ? [] : urls;
}

/** Finds what our NAT does. Never rejects; ends with `signal`. */
async function findNat(connect: Connect, urls: string[], signal: AbortSignal): Promise<Nat> {
  if (signal.aborted) return "unknown";
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
