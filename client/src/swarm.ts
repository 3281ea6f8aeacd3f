// Swarm: what an application holds after joining. It keeps us listed over reconnects, asks for peers, and hands lists and
// signals to the mesh, which makes the links.
import { Account } from "./account.js";
import { Asker } from "./asking.js";
import { Code, fromCall, StarlingError } from "./errors.js";
import { Emitter } from "./events.js";
import type { Calls } from "./gateway.js";
import { Joiner } from "./joining.js";
import type { Link } from "./link.js";
import { Mesh, termsOf } from "./mesh.js";
import { checked } from "./options.js";
import { Outbox } from "./outbox.js";
import { onPage } from "./page.js";
import { BROWSER, type Parts } from "./parts.js";
import { mostAtOnce } from "./patience.js";
import { NatWatch } from "./probe.js";
import { type Incoming, LIMITS, type PeerList, type Policy, readPolicy, samePolicy, type Welcome } from "./protocol.js";
import { Reporter } from "./reporting.js";
import { Server, type Wish } from "./server.js";
import { Timers } from "./timers.js";
import type { JoinOptions, Peer, SwarmEvents, SwarmState } from "./types.js";

/**
 * After a reconnect, everybody comes at once, with a join and with signals that waited or are repeated. Spread over this
 * time, nobody waits long and the server can breathe.
 */
const REJOIN_MS = 1000;
/** How long `leave` waits for the server to hear of it. */
const LEAVE_MS = 1000;
/** Signals that come while the join is under way; the server's history holds 16 deliveries. */
const MOST_EARLY = 64;

/** The promise of `Starling.join`. */
interface Opened {
  resolve(swarm: Swarm): void;
  reject(error: StarlingError): void;
}

/** A swarm that we are in. Made by `Starling.join`. */
export class Swarm {
  /** What was given to `join`. */
  readonly name: string;
  readonly #options: JoinOptions;
  readonly #account: Account;
  readonly #natWatch: NatWatch;
  readonly #emitter = new Emitter<SwarmEvents>();
  readonly #gateway: Calls;
  readonly #server: Server;
  readonly #outbox: Outbox;
  readonly #mesh: Mesh;
  readonly #joiner: Joiner;
  readonly #asker: Asker;
  readonly #reporter: Reporter;
  readonly #timers = new Timers();
  readonly #stopListening: () => void;
  readonly #opened: Opened;
  readonly #joining = new AbortController();
  #welcome: Welcome | undefined;
  #state: SwarmState = "connecting";
  #size = 0;
  #peers: ReadonlyMap<string, Peer> = new Map();
  #early: Incoming[] | undefined = [];
  #isUp = false;
  #left: Promise<void> | undefined;

  /** @internal */
  static open(options: JoinOptions, parts: Parts = BROWSER): Promise<Swarm> {
    return new Promise((resolve, reject) => {
      // What throws in here rejects.
      const swarm = new Swarm(checked(options), parts, { resolve, reject });
      swarm.#start();
    });
  }

  private constructor(options: JoinOptions, parts: Parts, opened: Opened) {
    this.name = options.swarm;
    this.#options = options;
    this.#account = new Account(options);
    this.#natWatch = new NatWatch(this.#account, parts.connect, () => this.#mesh.networkChanged());
    this.#opened = opened;
    // Before the gateway: it closes its socket when the page goes into the cache, and we have goodbyes to say first.
    this.#stopListening = onPage({ hide: (persisted) => this.#onHide(persisted), show: () => this.#mesh.reopen() });
    // No more than are tried before the join, whose list is drawn for the NAT that we have.
    const want = mostAtOnce(this.#account.knowsNat);
    const first = { swarm: options.swarm, want, ...this.#account.forPeers() };
    this.#gateway = parts.gateway(
      { url: options.url, token: options.getToken ?? (() => options.token ?? ""), first },
      {
        up: (welcome, recovered) => this.#onUp(welcome, recovered),
        down: () => this.#onDown(),
        signals: (signals) => this.#onSignals(signals),
        trouble: (error) => this.#trouble(error),
        refused: (error) => this.#fail(error),
      },
    );
    this.#server = new Server(this.#gateway, this.name, this.#account);
    this.#outbox = new Outbox({
      call: (signals) => this.#server.signal(signals),
      publish: (signal) => this.#server.publish(signal),
    });
    this.#mesh = new Mesh(
      this.name,
      {
        emit: (event, value) => this.#emitter.emit(event, value),
        freed: () => this.#asker.freed(),
        encouraged: () => this.#asker.changed(),
        knowsNat: () => this.#account.knowsNat,
      },
      this.#outbox,
      parts.connect,
      { own: "", policy: readPolicy({}), rtc: {} },
    );
    this.#joiner = new Joiner({
      join: () => this.#server.join(this.#wish()),
      tell: () => this.#server.tell(),
      joined: (list) => this.#onJoined(list),
      trouble: (error) => this.#trouble(error),
      refused: (error) => this.#fail(error),
    });
    this.#asker = new Asker({
      ask: (urgent) => this.#ask(urgent),
      failed: (error) => this.#onAskFailed(error),
      mesh: this.#mesh,
      idleMs: () => this.policy.idleMs,
    });
    this.#reporter = new Reporter({
      links: this.#mesh.links,
      receipts: this.#mesh.receipts,
      account: this.#account,
      policy: () => this.policy,
      tag: () => this.#welcome?.tag ?? "",
      send: async (report) => this.#onReported(await this.#server.report(report)),
    });
  }

  /** Our own id. Another one comes with `identity`. */
  get peer(): string {
    return this.#welcome?.peer ?? "";
  }

  get state(): SwarmState {
    return this.#state;
  }

  /** How many peers are in the swarm, we included, as the server said last. */
  get size(): number {
    return this.#size;
  }

  /** The peers of the last list, and those from earlier lists that we are linked to or trying. */
  get peers(): ReadonlyMap<string, Peer> {
    return this.#peers;
  }

  /** The open links, by the other side's id. */
  get links(): ReadonlyMap<string, Link> {
    return this.#mesh.links;
  }

  /** How the server wants us to behave; another one comes with `policy`. */
  get policy(): Policy {
    return this.#welcome?.policy ?? readPolicy({});
  }

  /** Where in the content the viewer is, in whole seconds. Set it as it plays: lists name those who are near in time. */
  get playhead(): number | undefined {
    return this.#account.playhead;
  }

  set playhead(seconds: number | undefined) {
    this.#account.playhead = seconds;
  }

  /** Says that so many bytes came from servers instead of peers. Reports tell how much the peers saved. */
  fetched(bytes: number): void {
    this.#account.fetched(bytes);
  }

  /** Says that playing stopped for want of data. */
  rebuffered(): void {
    this.#account.rebuffered();
  }

  /** Calls `listener` from now on; returns the function that ends this. An error in a listener stays its own. */
  on<E extends keyof SwarmEvents>(event: E, listener: (event: SwarmEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  /**
   * Asks for peers now instead of when the server wants to be asked; it may answer with none. `urgent` says that the
   * buffer runs dry, so the server should name those who have proven themselves.
   */
  async refresh({ urgent = false }: { readonly urgent?: boolean } = {}): Promise<void> {
    if (this.#state === "left") throw new StarlingError(Code.left, "the swarm was left");
    await this.#asker.now(urgent);
  }

  /** Says goodbye, closes every link and the connection. Idempotent; resolves when the server has heard, or after 1 s. */
  leave(): Promise<void> {
    this.#left ??= this.#leave();
    return this.#left;
  }

  #start(): void {
    const { signal } = this.#options;
    const abort = (): void =>
      this.#fail(new StarlingError(Code.aborted, "the join was aborted", false, { cause: signal?.reason }));
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { signal: this.#joining.signal });
    try {
      this.#gateway.start();
    } catch (thrown) {
      this.#fail(fromCall(thrown));
    }
  }

  #onUp(welcome: Welcome, recovered: boolean): void {
    const previous = this.#welcome?.peer;
    this.#isUp = true;
    this.#accept(welcome);
    if (previous === undefined) {
      this.#outbox.open();
      if (welcome.first !== undefined) this.#take(welcome.first);
      // In the same turn, unless our NAT is looked for: the first offers are gathered for meanwhile.
      void this.#joiner.start(this.#natWatch.look(this.#mesh.rtc));
      return;
    }
    if (previous !== welcome.peer) {
      this.#natWatch.networkChanged(); // perhaps: we were away for long
      this.#reporter.renew();
      this.#emitter.emit("identity", { peer: welcome.peer, previous });
    }
    // Never in this turn: the publications that we missed are about to be handed over, and may hold the answers.
    this.#timers.after(REJOIN_MS * Math.random(), () => {
      void this.#joiner.start();
      this.#mesh.resume(recovered);
      this.#outbox.open();
    });
  }

  /** Behaves as the server wants from here on. */
  #accept(welcome: Welcome): void {
    const before = this.#welcome?.policy;
    this.#welcome = welcome;
    this.#mesh.accept(termsOf(welcome, this.#options.rtc));
    if (before === undefined || samePolicy(before, welcome.policy)) return;
    this.#asker.changed();
    this.#emitter.emit("policy", welcome.policy);
  }

  #onReported(changed: Pick<Welcome, "policy" | "tag"> | undefined): void {
    if (changed !== undefined && this.#isUp && this.#welcome) this.#accept({ ...this.#welcome, ...changed });
  }

  #onDown(): void {
    this.#isUp = false;
    this.#timers.clear();
    this.#joiner.stop();
    this.#asker.stop();
    this.#reporter.stop();
    this.#outbox.pause();
    this.#mesh.pause();
    this.#turn("connecting");
  }

  /** Until the join is done the application cannot listen yet, so nothing that would open a link is let in. */
  #onSignals(signals: Incoming[]): void {
    if (this.#early === undefined) for (const signal of signals) this.#mesh.receive(signal);
    else this.#early.push(...signals.slice(0, MOST_EARLY - this.#early.length));
  }

  #onJoined(list: PeerList): void {
    this.#turn("joined");
    this.#take(list);
    this.#asker.start(list.nextMs);
    this.#reporter.start();
    void this.#learnNat();
    if (this.#early === undefined) return;
    this.#joining.abort();
    this.#opened.resolve(this);
    // A turn later, whoever awaited us has had the time to listen.
    this.#timers.after(0, () => {
      const early = this.#early ?? [];
      this.#early = undefined;
      for (const signal of early) this.#mesh.receive(signal);
    });
  }

  /** In the background. What was found goes with every join from here on. */
  async #learnNat(): Promise<void> {
    await this.#natWatch.look(this.#mesh.rtc);
    // While the connection is away, the next join says it.
    if (this.#isUp && this.#state === "joined" && this.#account.hasNews) await this.#joiner.tell();
  }

  async #ask(urgent: boolean): Promise<number> {
    const list = await this.#server.peers(this.#wish(urgent));
    // Whose buffer runs dry takes more links than it aims at.
    this.#take(list, urgent ? this.#mesh.room : undefined);
    // It may have forgotten everybody, so not all at once.
    if (!list.joined) this.#timers.after(REJOIN_MS * Math.random(), () => void this.#joiner.start());
    return list.nextMs;
  }

  /** A server that answers for good with no may have forgotten us too. */
  #onAskFailed(error: StarlingError): void {
    this.#trouble(error);
    if (!error.temporary && error.code !== 401) void this.#joiner.start();
  }

  /** As many as are missing, as far as the policy allows, but not whom we have or try: in `join`, `first`. */
  #wish(urgent = false): Wish {
    const want = Math.min(urgent ? this.#mesh.room : this.#mesh.missing, this.policy.want, LIMITS.want);
    return { want, exclude: this.#mesh.exclude(), ...(urgent && { urgent }) };
  }

  #take(list: PeerList, most?: number): void {
    if (this.#state === "left") return;
    const kept = [...this.#peers].filter(([peer]) => this.#mesh.has(peer));
    const listed = list.peers.map(({ peer, score, near }) => [peer, { peer, score, near }] as const);
    this.#peers = new Map([...kept, ...listed]);
    this.#size = list.size;
    this.#mesh.try(list.peers, most);
    this.#emitter.emit("peers", this.#peers);
  }

  #turn(state: SwarmState): void {
    if (this.#state === state || this.#state === "left") return;
    this.#state = state;
    this.#emitter.emit("state", state);
  }

  #trouble(error: StarlingError): void {
    // Nobody can listen before the join is done, and a token that cannot be had is worth telling then.
    if (this.#early !== undefined && error.code === Code.token) this.#fail(error);
    else this.#emitter.emit("error", error);
  }

  #fail(error: StarlingError): void {
    if (this.#state === "left") return;
    this.#emitter.emit("error", error);
    this.#left ??= Promise.resolve();
    this.#opened.reject(error);
    this.#close("closed");
  }

  async #leave(): Promise<void> {
    if (this.#state === "left") return;
    const heard = this.#isUp ? this.#sayGoodbye("leave") : undefined;
    this.#close("leave", false);
    const enough = new Promise<void>((resolve) => this.#timers.after(LEAVE_MS, resolve));
    if (heard !== undefined) await Promise.race([heard, enough]);
    this.#timers.clear();
    this.#gateway.stop();
  }

  /** Closes links and attempts, with byes, and leaves. In this order, and all of it written before anything is awaited. */
  #sayGoodbye(reason: string): Promise<void> {
    this.#mesh.close(reason);
    this.#outbox.open(); // it may not be, so soon after a reconnect
    this.#outbox.flush();
    return this.#server.leave().then(
      () => {},
      () => {}, // whoever leaves does not mind
    );
  }

  #close(reason: string, stop = true): void {
    this.#isUp = false;
    this.#stopListening();
    this.#natWatch.stop();
    this.#timers.clear();
    this.#joiner.stop();
    this.#asker.stop();
    this.#reporter.stop();
    this.#mesh.close(reason);
    this.#outbox.pause();
    this.#outbox.clear();
    this.#turn("left");
    this.#emitter.clear();
    if (stop) this.#gateway.stop();
    this.#joining.abort();
    this.#opened.reject(new StarlingError(Code.left, "the swarm was left"));
  }

  /** A page that goes away for good has no time for more; one that is kept may come back, and `up` joins it again. */
  #onHide(persisted: boolean): void {
    if (!persisted) void this.leave();
    else if (this.#isUp) void this.#sayGoodbye("pagehide");
    else this.#mesh.close("pagehide");
  }
}
