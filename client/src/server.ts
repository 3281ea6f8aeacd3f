// The server as a member of one swarm sees it: its calls, with the swarm's name in them, and what is read from replies.
import type { Account } from "./account.js";
import type { Calls } from "./gateway.js";
import {
  type Outgoing,
  type PeerList,
  readPeers,
  readReported,
  readResults,
  type SignalResult,
  type Welcome,
} from "./protocol.js";

/** Whom a list is to name. */
export interface Wish {
  readonly want: number;
  /** Whom it need not name. */
  readonly exclude: readonly string[];
  readonly urgent?: boolean;
}

/** Each of its methods rejects with a `StarlingError`. */
export class Server {
  readonly #gateway: Calls;
  readonly #swarm: string;
  readonly #account: Account;

  constructor(gateway: Calls, swarm: string, account: Account) {
    this.#gateway = gateway;
    this.#swarm = swarm;
    this.#account = account;
  }

  async join(wish: Wish): Promise<PeerList> {
    return readPeers(await this.#call("join", { ...wish, ...this.#account.forJoin() }));
  }

  /** Joins again, and is listed nobody: what we know of us has changed. */
  tell(): Promise<unknown> {
    return this.#call("join", { want: 0, ...this.#account.forJoin() });
  }

  async peers(wish: Wish): Promise<PeerList> {
    return readPeers(await this.#call("peers", { ...wish, ...this.#account.forPeers() }));
  }

  async signal(signals: readonly Outgoing[]): Promise<SignalResult[]> {
    return readResults(await this.#call("signal", { signals }), signals.length);
  }

  /** One signal, to its receiver's inbox. */
  publish({ to, ...signal }: Outgoing): Promise<void> {
    return this.#gateway.publish(to, { swarm: this.#swarm, ...signal });
  }

  /** Returns how the server wants us to behave from now on, if that has changed. */
  async report(report: object): Promise<Pick<Welcome, "policy" | "tag"> | undefined> {
    return readReported(await this.#call("report", report));
  }

  leave(): Promise<unknown> {
    return this.#call("leave", {});
  }

  #call(method: string, data: object): Promise<unknown> {
    return this.#gateway.call(method, { swarm: this.#swarm, ...data });
  }
}
