// What the server is told of us beyond our links: what the application counts, and what the browser knows. It goes with
// joins, calls for peers and reports.
import { amount, MOST_32_BITS, perhaps } from "./numbers.js";
import { Battery, networkOf } from "./page.js";
import type { JoinOptions, Nat } from "./types.js";

const MOST_SLOTS = 65_535;

export class Account {
  /** How our network maps ports, once that is found. What the application says of it counts more. */
  nat: Nat | undefined;
  readonly #options: JoinOptions;
  readonly #battery = new Battery();
  #httpBytes = 0;
  #rebuffers = 0;
  #playhead: number | undefined;
  #toldNat: Nat | undefined;

  constructor(options: JoinOptions) {
    this.#options = options;
    this.playhead = options.playhead;
  }

  /** Whether the application said how its network maps ports. */
  get saysNat(): boolean {
    return this.#options.net?.nat !== undefined;
  }

  /** Whether that is known, from whomever. */
  get knowsNat(): boolean {
    const { nat = this.nat } = this.#options.net ?? {};
    return nat !== undefined && nat !== "unknown";
  }

  /** Whether what we know of it is still to be told. */
  get hasNews(): boolean {
    return this.nat !== undefined && this.nat !== this.#toldNat;
  }

  get playhead(): number | undefined {
    return this.#playhead;
  }

  set playhead(seconds: number | undefined) {
    this.#playhead = perhaps(seconds === undefined ? undefined : Math.floor(seconds));
  }

  fetched(bytes: number): void {
    this.#httpBytes = amount(this.#httpBytes + amount(bytes));
  }

  rebuffered(): void {
    this.#rebuffers = amount(this.#rebuffers + 1, MOST_32_BITS);
  }

  /** Counts anew. */
  renew(): void {
    this.#httpBytes = 0;
    this.#rebuffers = 0;
  }

  /** Of a `join`: who we are. From here on it is told: a join that fails is followed by another. */
  forJoin(): object {
    this.#toldNat = this.nat;
    const { upload, net, slots, bitrateKbps } = this.#options;
    const { nat = this.nat, ...rest } = net ?? networkOf();
    return {
      upload: upload ?? true,
      net: nat === undefined ? rest : { nat, ...rest },
      ...field("slots", perhaps(slots, MOST_SLOTS)),
      ...field("bitrate_kbps", perhaps(bitrateKbps, MOST_32_BITS)),
      ...this.forPeers(),
    };
  }

  /** Of a call for peers: where we are in the content. */
  forPeers(): object {
    return field("playhead", this.#playhead);
  }

  /** Of a report. Counters only grow. */
  forReport(): object {
    return {
      http_bytes: this.#httpBytes,
      rebuffers: this.#rebuffers,
      battery_low: this.#battery.isLow,
      ...this.forPeers(),
    };
  }
}

/** An optional field is left out when there is nothing for it. */
function field(name: string, value: number | undefined): object {
  return value === undefined ? {} : { [name]: value };
}
