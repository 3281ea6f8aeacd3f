// When to tell the server how it goes, and what. A report that fails is followed by the next, which says the same and more.
import type { Account } from "./account.js";
import type { Link } from "./link.js";
import { amount } from "./numbers.js";
import { isHidden } from "./page.js";
import type { Policy } from "./protocol.js";
import type { Receipts } from "./receipts.js";
import { jitter, Timers } from "./timers.js";

/** So that those who came together do not report together. */
const JITTER = 0.1;
/** Who looks elsewhere for a moment is still a good uploader. */
const HIDDEN_MS = 60_000;

/** What a reporter works with. */
export interface ReporterHost {
  readonly links: ReadonlyMap<string, Link>;
  readonly receipts: Receipts;
  readonly account: Account;
  policy(): Policy;
  /** What the server calls our policy; empty when it has no name. */
  tag(): string;
  /** Rejects when the server did not take it. */
  send(report: object): Promise<unknown>;
}

/** Reports every report interval while there are links, every idle interval otherwise. */
export class Reporter {
  readonly #host: ReporterHost;
  readonly #timers = new Timers();
  #run = 0;
  #seq = 0;
  #skipped = 0;
  #up = 0;
  #down = 0;
  #hiddenSince: number | undefined;

  constructor(host: ReporterHost) {
    this.#host = host;
  }

  /** We are joined, maybe again. */
  start(): void {
    this.stop();
    this.#schedule(this.#run);
  }

  /** We are another peer now: what the one before has told is not told again. */
  renew(): void {
    this.#up = 0;
    this.#down = 0;
    this.#host.account.renew();
  }

  stop(): void {
    this.#run++;
    this.#timers.clear();
  }

  #schedule(run: number): void {
    if (run !== this.#run) return;
    this.#timers.after(jitter(this.#host.policy().reportMs, JITTER), () => {
      void this.#tick().then(() => this.#schedule(run));
    });
  }

  async #tick(): Promise<void> {
    this.#hiddenSince = isHidden() ? (this.#hiddenSince ?? Date.now()) : undefined;
    const { reportMs, idleMs } = this.#host.policy();
    this.#skipped++;
    if (this.#host.links.size > 0 || this.#skipped * reportMs >= idleMs) await this.#report();
  }

  async #report(): Promise<void> {
    const { links, receipts, account } = this.#host;
    const run = this.#run;
    await Promise.all([...links.values()].map((link) => this.#measure(link)));
    if (run !== this.#run) return;
    this.#skipped = 0;
    const seq = ++this.#seq;
    const said = receipts.next(seq);
    const tag = this.#host.tag();
    const report = {
      epoch: 0,
      seq,
      up_bytes: this.#up,
      down_bytes: this.#down,
      ...account.forReport(),
      degree: links.size,
      hidden: this.#hiddenSince !== undefined && Date.now() - this.#hiddenSince >= HIDDEN_MS,
      ...(tag !== "" && { policy: tag }),
      receipts: said.receipts,
    };
    await this.#host.send(report).catch(said.failed);
  }

  async #measure(link: Link): Promise<void> {
    const { received, sent } = await link.measure();
    this.#down = amount(this.#down + received);
    this.#up = amount(this.#up + sent);
  }
}
