// Stand-ins for the browser and the server: connections that open when a test says so, and a gateway that records calls.
import { mock, test } from "node:test";
import { StarlingError } from "../dist/errors.js";
import { Swarm } from "../dist/swarm.js";

export class FakeChannel extends EventTarget {
  readyState = "connecting";
  open() {
    this.readyState = "open";
    this.dispatchEvent(new Event("open"));
  }
  shut() {
    this.readyState = "closed";
    this.dispatchEvent(new Event("close"));
  }
}

/** Finds one host candidate as soon as it has a local description. */
export class FakeConnection extends EventTarget {
  connectionState = "new";
  localDescription = null;
  remote = null;
  added = [];
  closed = false;
  carried = { bytesReceived: 0, bytesSent: 0 };
  channel;
  constructor(config, silent = false) {
    super();
    this.config = config;
    this.silent = silent;
  }
  getConfiguration() {
    return this.config;
  }
  createDataChannel(label) {
    this.channel = new FakeChannel();
    this.channel.label = label;
    return this.channel;
  }
  async setLocalDescription() {
    const type = this.remote === null ? "offer" : "answer";
    this.localDescription = { type, sdp: `v=0\r\na=ice-ufrag:u1\r\na=candidate:1 ${type}\r\n` };
    if (!this.silent) queueMicrotask(() => this.find(null));
  }
  async setRemoteDescription(description) {
    if (description.sdp === "bad") throw new Error("bad description");
    this.remote = description;
  }
  async addIceCandidate(candidate) {
    this.added.push(candidate.candidate);
  }
  /** As much of a report as is read. */
  async getStats() {
    if (this.closed) throw new Error("closed");
    return new Map([
      ["t", { id: "t", type: "transport", selectedCandidatePairId: "p" }],
      ["p", { id: "p", type: "candidate-pair", currentRoundTripTime: 0.0124, localCandidateId: "l" }],
      ["l", { id: "l", type: "local-candidate", candidateType: "srflx" }],
      ["d", { id: "d", type: "data-channel", ...this.carried }],
    ]);
  }
  find(candidate) {
    this.dispatchEvent(Object.assign(new Event("icecandidate"), { candidate }));
  }
  turn(state) {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
  /** The peer's channel arrives, open. */
  arrive() {
    this.channel = new FakeChannel();
    this.channel.readyState = "open";
    this.dispatchEvent(Object.assign(new Event("datachannel"), { channel: this.channel }));
  }
  close() {
    this.closed = true;
    this.connectionState = "closed";
  }
}

/** Lets everything that is ready run, timers excepted. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export const OWN = "mmm";

/** A swarm on fakes. `reply(method, data)` answers calls; what it throws rejects them. */
export class Stage {
  calls = [];
  connections = [];
  events = [];
  stopped = false;
  /** Whether gathering never completes, as when a STUN server does not answer. */
  silent = false;
  policy = {};
  tag = "";
  /** What the application says of its NAT. */
  nat = "eim";
  iceServers = [];
  lists = { join: [], peers: [] };
  /** More fields of the replies. */
  more = {};
  results = () => ({ ok: true });
  failing = undefined;
  noPublish = undefined;

  async join(options = {}) {
    const parts = {
      gateway: (gatewayOptions, listener) => {
        this.gatewayOptions = gatewayOptions;
        this.listener = listener;
        return {
          start: () => {},
          call: (...call) => this.call(...call),
          publish: (...publication) => this.publish(...publication),
          stop: () => (this.stopped = true),
        };
      },
      connect: (config) => {
        const connection = new FakeConnection(config, this.silent);
        this.connections.push(connection);
        return connection;
      },
    };
    const net = this.nat && { net: { nat: this.nat } };
    const swarm = Swarm.open({ url: "ws://test/", token: "t", swarm: "s", ...net, ...options }, parts);
    swarm.catch(() => {}); // a test that wants the error awaits it
    this.opening = swarm;
    await settle();
    return swarm;
  }

  /** The usual beginning: connected with these peers in `first`, joined, listening. */
  async joined(peers = [], options = {}) {
    const opening = this.join(options);
    await settle();
    this.up({ first: peers });
    this.swarm = await opening;
    for (const name of ["link", "unlink", "state", "policy", "identity", "attempt", "error"]) {
      this.swarm.on(name, (value) => this.events.push([name, value]));
    }
    await settle();
  }

  async call(method, data) {
    this.calls.push([method, data]);
    if (this.failing !== undefined) throw this.failing;
    if (method === "signal") return { results: data.signals.map((signal) => this.results(signal)) };
    return { peers: this.lists[method] ?? [], swarm_size: 3, next_ms: 5000, ...this.more[method] };
  }

  /** A gateway that takes publications, unless `noPublish` is the error that it answers with. */
  async publish(to, data) {
    this.calls.push(["publish", data, to]);
    const error = this.noPublish ?? this.failing;
    if (error !== undefined) throw error;
    const { error: refused } = this.results({ to, ...data });
    if (refused !== undefined) throw new StarlingError(refused.code, refused.message, refused.code === 503);
  }

  up({ peer = OWN, first, recovered = true } = {}) {
    const policy = { ...POLICY, ...this.policy };
    const list = first && { first: { peers: first, size: 3, nextMs: 5000 } };
    this.listener.up({ peer, resume: "r", policy, tag: this.tag, iceServers: this.iceServers, ...list }, recovered);
  }

  hear(from, session, seq, said) {
    this.listener.signals([{ from, swarm: "s", session, seq, ticket: `A:${from}`, ...said }]);
  }

  /** Every signal that was sent, in order, whichever way it went. */
  get signals() {
    return this.calls.flatMap(([method, data, to]) => {
      if (method === "publish") return [{ to, ...data }];
      return method === "signal" ? data.signals : [];
    });
  }

  /** What was sent to a peer, by kind. */
  sent(to) {
    return this.signals.filter((signal) => signal.to === to).map(kindOf);
  }

  phases(peer) {
    return this.events.flatMap(([name, value]) => (name === "attempt" && value.peer === peer ? [value.phase] : []));
  }

  named(name) {
    return this.events.filter(([one]) => one === name).map(([, value]) => value);
  }
}

const POLICY = {
  reportMs: 10_000,
  idleMs: 30_000,
  want: 8,
  degreeTarget: 8,
  degreeMax: 12,
  gatherMs: 150,
  turn: "on_failure",
  upload: true,
};

export const kindOf = (signal) => ["offer", "answer", "candidates", "bye"].find((kind) => kind in signal);

export const listed = (...peers) => peers.map((peer) => ({ peer, ticket: `O:${peer}`, score: 0.5, near: "far" }));

/** Each test has its own stage and its own time. */
export function scene(name, play) {
  test(name, async () => {
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    try {
      await play(new Stage());
    } finally {
      mock.timers.reset();
    }
  });
}

export async function pass(ms) {
  mock.timers.tick(ms);
  await settle();
}

/** The gathering of the fakes is complete at once; the join's one turn of patience is a timer. */
export async function begin(stage, peers = [], options) {
  await stage.joined(peers, options);
  await pass(1);
}

/** So long that what happens in it makes timers of its own. */
export async function passed(ms) {
  for (let gone = 0; gone < ms; gone += 500) await pass(500);
}

export const answer = { answer: { sdp: "v=0 answer" } };
export const offer = { offer: { sdp: "v=0 offer" } };

/** With one open link. */
export async function linked(stage, peer = "a") {
  await begin(stage, listed(peer));
  stage.hear(peer, stage.signals[0].session, 0, answer);
  await settle();
  stage.connections[0].channel.open();
}

/** As `play`, with a browser that can say that the network is another one. */
export async function withNetwork(play) {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const connection = new EventTarget();
  Object.defineProperty(globalThis, "navigator", { value: { connection }, configurable: true });
  try {
    await play(() => connection.dispatchEvent(new Event("change")));
  } finally {
    if (before === undefined) delete globalThis.navigator;
    else Object.defineProperty(globalThis, "navigator", before);
  }
}
