// What our attempts have taught us, and so how many more to make: a network that lets nothing through is not asked again
// and again. No clock: callers pass `now`.

/** So many attempts are taken to have worked before the first. */
const LUCK_WEIGHS = 2;
/** After the last of many attempts in vain; doubles with each further one. */
const REST_MS = 30_000;
/** 8 minutes at most: 30 s doubled so many times. */
const MOST_DOUBLED = 4;

/**
 * Most attempts under way at a time until one has worked; after so many in a row in vain it is likely us, and not those whom
 * we tried. Of those who do not know their own NAT, more get none at all.
 */
export function mostAtOnce(knowsNat: boolean): number {
  return knowsNat ? 3 : 2;
}

/** How things stand with our links. */
export interface Standing {
  /** Links and attempts missing to what the policy aims at. */
  readonly places: number;
  /** Attempts under way, ours and others'. */
  readonly underWay: number;
  /** Whether we know how our own NAT maps ports. */
  readonly knowsNat: boolean;
}

export class Patience {
  #opened = 0;
  /** Attempts of which the network made nothing: all, and those since the last link opened. */
  #unreachable = 0;
  #inVain = 0;
  #failedAt = 0;

  /** Whether no attempt has worked yet. */
  get isUntried(): boolean {
    return this.#opened === 0;
  }

  /** The share of our attempts that the network lets through, as far as we know. Who has none tries less and seldom. */
  get luck(): number {
    return (this.#opened + LUCK_WEIGHS) / (this.#opened + this.#unreachable + LUCK_WEIGHS);
  }

  /** How many links to try for: fewer where many attempts fail; after many in a row one at a time, with a rest before it. */
  missing(now: number, { places, underWay, knowsNat }: Standing): number {
    const missing = Math.ceil(Math.max(0, places) * this.luck);
    const further = this.#inVain - mostAtOnce(knowsNat);
    if (further < 0) return missing;
    const restMs = REST_MS * 2 ** Math.min(further, MOST_DOUBLED);
    return underWay > 0 || now < this.#failedAt + restMs ? 0 : Math.min(1, missing);
  }

  /** How many attempts may be added to those under way: few, until one has worked. */
  atOnce({ underWay, knowsNat }: Standing): number {
    return this.isUntried ? Math.max(0, mostAtOnce(knowsNat) - underWay) : Number.POSITIVE_INFINITY;
  }

  opened(): void {
    this.#opened++;
    this.#inVain = 0;
  }

  /** The network made nothing of an attempt. */
  failed(now: number): void {
    this.#unreachable++;
    this.#inVain++;
    this.#failedAt = now;
  }

  /** We may be in another network, so the next attempts may well work. */
  networkChanged(): void {
    this.#inVain = 0;
  }
}
