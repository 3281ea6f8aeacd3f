import assert from "node:assert/strict";
import { test } from "node:test";
import { StarlingError } from "../dist/errors.js";
import { Outbox, splitCalls } from "../dist/outbox.js";
import { readInbox, readPeers, readPolicy, readResults, readWelcome } from "../dist/protocol.js";
import { fitReason, fitSdp, sdpUfrag, ufragOf, withUfrag } from "../dist/sdp.js";
import { settle } from "./fakes.mjs";

test("a call holds at most 16 signals and 64 KiB, in order", () => {
  const small = Array.from({ length: 40 }, (_, i) => i);
  assert.deepEqual(
    splitCalls(small, () => 100).map((call) => call.length),
    [16, 16, 8],
  );
  assert.deepEqual(splitCalls(small, () => 100).flat(), small);
  const large = splitCalls(small, () => 8 * 1024);
  assert.ok(large.every((call) => call.length * 8 * 1024 <= 64 * 1024));
  assert.deepEqual(large.flat(), small);
  assert.deepEqual(
    splitCalls([], () => 1),
    [],
  );
});

const offer = (to) => ({ to, ticket: "t", session: "s", seq: 0, offer: { sdp: "v=0" } });
const candidates = (to) => ({ to, ticket: "t", session: "s", seq: 1, candidates: ["c"] });

const answer = (to) => ({ to, ticket: "t", session: "s", seq: 0, answer: { sdp: "v=0" } });

/** An outbox, and what it sent: whom each call was for, and each publication. */
function recorded(reply = (signals) => signals.map(() => ({ ok: true })), publish = () => {}) {
  const calls = [];
  const published = [];
  const outbox = new Outbox({
    call: async (signals) => {
      calls.push(signals.map(({ to }) => to));
      return reply(signals);
    },
    publish: async (signal) => {
      published.push(signal.to);
      publish(signal);
    },
  });
  return { calls, published, outbox };
}

test("what is said in one turn goes in one call, and takes waiting candidates along", async () => {
  const { calls, outbox } = recorded();
  outbox.open();
  await settle();
  outbox.push(candidates("a"));
  await settle();
  assert.deepEqual(calls, []);
  outbox.push(offer("b"));
  outbox.push(offer("c"));
  await settle();
  assert.deepEqual(calls, [["a", "b", "c"]]);
});

test("nothing is sent while the connection is away, and everything when it is back", async () => {
  const { calls, outbox } = recorded();
  const same = offer("a");
  outbox.push(same);
  outbox.push(same);
  await settle();
  assert.deepEqual(calls, []);
  outbox.open();
  await settle();
  assert.deepEqual(calls, [["a"]]);
});

test("what is over is not sent, except its bye", async () => {
  const { calls, outbox } = recorded();
  outbox.push(offer("a"));
  outbox.push({ to: "a", ticket: "t", session: "s", seq: 1, bye: { reason: "x" } });
  outbox.push(offer("b"));
  outbox.drop("a", "s");
  outbox.open();
  await settle();
  assert.deepEqual(calls, [["a", "b"]]);
});

test("a call that the connection broke under is sent again; one that was refused is not", async () => {
  let failures = [new StarlingError(4, "closed", true)];
  const { calls, outbox } = recorded((signals) => {
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return signals.map(() => ({ ok: true }));
  });
  const results = [];
  outbox.open();
  outbox.push(offer("a"), (result) => results.push(result));
  await new Promise((resolve) => setTimeout(resolve, 40));
  assert.deepEqual([calls.length, results], [2, [{ ok: true }]]);

  failures = [new StarlingError(403, "no")];
  outbox.push(offer("b"), (result) => results.push(result));
  await settle();
  assert.deepEqual([calls.length, results[1]], [3, { ok: false, code: 403, message: "no" }]);
});

test("an answer that goes out alone is published; in company, and whatever else goes out alone, it is called", async () => {
  const { calls, published, outbox } = recorded();
  const results = [];
  outbox.open();
  outbox.push(answer("a"), (result) => results.push(result));
  await settle();
  assert.deepEqual([published, calls, results], [["a"], [], [{ ok: true }]]);
  for (const said of [{ offer: { sdp: "v=0" } }, { bye: { reason: "x" } }]) {
    outbox.push({ to: "b", ticket: "t", session: "s", seq: 0, ...said });
    await settle();
  }
  outbox.push(answer("c"));
  outbox.push(answer("d"));
  await settle();
  outbox.push(candidates("e"));
  outbox.push(answer("f"));
  await settle();
  assert.deepEqual(published, ["a"]);
  assert.deepEqual(calls, [["b"], ["b"], ["c", "d"], ["e", "f"]]);
});

test("a publication that is refused has the result of a call that is refused", async () => {
  for (const code of [100, 400, 403, 410, 413, 422, 503]) {
    const { calls, outbox } = recorded(undefined, () => {
      throw new StarlingError(code, "no");
    });
    const results = [];
    outbox.open();
    outbox.push(answer("a"), (result) => results.push(result));
    await settle();
    assert.deepEqual([calls, results], [[], [{ ok: false, code, message: "no" }]]);
  }
});

test("a gateway that takes no publications is called at once, and asked again only after a reconnect", async () => {
  for (const code of [102, 103, 108, 404]) {
    const { calls, published, outbox } = recorded(undefined, () => {
      throw new StarlingError(code, "permission denied");
    });
    const results = [];
    const say = async (to) => {
      outbox.push(answer(to), (result) => results.push(result));
      await settle();
    };
    outbox.open();
    await say("a");
    await say("b");
    assert.deepEqual([published, calls], [["a"], [["a"], ["b"]]], `${code}`);
    outbox.pause();
    outbox.open();
    await say("c");
    assert.deepEqual([published, calls.at(-1)], [["a", "c"], ["c"]]);
    assert.deepEqual(results, Array(3).fill({ ok: true }));
  }
});

test("a signal that the connection breaks under three times is given up", async () => {
  const broken = () => {
    throw new StarlingError(4, "timeout", true);
  };
  const { calls, published, outbox } = recorded(broken, broken);
  outbox.open();
  const told = (signal) => new Promise((resolve) => outbox.push(signal, resolve));
  const results = [await told(offer("a")), await told(answer("b"))];
  assert.deepEqual([calls.length, published.length], [3, 3]);
  assert.deepEqual(results, Array(2).fill({ ok: false, code: 4, message: "timeout" }));
});

test("a publication that the connection broke under is published again", async () => {
  const failures = [new StarlingError(4, "closed", true)];
  const { calls, published, outbox } = recorded(undefined, () => {
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
  });
  const results = [];
  outbox.open();
  outbox.push(answer("a"), (result) => results.push(result));
  await new Promise((resolve) => setTimeout(resolve, 40));
  assert.deepEqual([published, calls, results], [["a", "a"], [], [{ ok: true }]]);
});

test("a candidate has its ufrag once", () => {
  const bare = "candidate:1 1 udp 2113937151 192.0.2.1 4000 typ host";
  assert.equal(withUfrag(bare, "abcd"), `${bare} ufrag abcd`);
  assert.equal(withUfrag(`${bare} ufrag abcd network-cost 999`, "abcd"), `${bare} ufrag abcd network-cost 999`);
  assert.equal(ufragOf(`${bare} ufrag abcd network-cost 999`), "abcd");
  assert.equal(withUfrag(bare, null), bare);
  assert.equal(sdpUfrag("v=0\r\na=ice-ufrag:xy+z\r\n"), "xy+z");
});

test("a description over the limit gives up its last candidates, and nothing else", () => {
  const lines = Array.from({ length: 5 }, (_, i) => `a=candidate:${i} 1 udp 1 192.0.2.1 400${i} typ host`);
  const sdp = ["v=0", ...lines, "a=ice-ufrag:x", ""].join("\r\n");
  assert.deepEqual(fitSdp(sdp, 8192), { sdp, left: [] });
  const { sdp: fitted, left } = fitSdp(sdp, sdp.length - 1);
  assert.deepEqual(left, [lines[4].slice(2)]);
  assert.ok(!fitted.includes(lines[4]) && fitted.includes(lines[3]) && fitted.includes("a=ice-ufrag:x"));
  assert.equal(fitSdp(sdp, 10).left.length, 5);
});

test("a reason is cut to what the protocol takes", () => {
  assert.equal(fitReason("a\nb\ud800c", 64), "a b c");
  assert.equal([...fitReason("🐦".repeat(100), 64)].length, 64);
});

test("an inbox publication gives its signals, and leaves out what does not read as one", () => {
  const head = { from: "a", swarm: "s", session: "x", seq: 0, ticket: "t" };
  const read = readInbox({
    signals: [
      { ...head, offer: { sdp: "v=0" }, unknown: 1 },
      { ...head, seq: 1, candidates: ["c", 7], end: true },
      { ...head, seq: 2, bye: { reason: "x".repeat(99) } },
      { ...head, seq: -1, offer: { sdp: "v=0" } },
      { ...head, seq: 1.5, offer: { sdp: "v=0" } },
      { ...head, from: 3, offer: { sdp: "v=0" } },
      { ...head },
      null,
      "x",
    ],
  });
  assert.deepEqual(read, [
    { ...head, offer: { sdp: "v=0" } },
    { ...head, seq: 1, candidates: ["c"], end: true },
    { ...head, seq: 2, bye: { reason: "x".repeat(64) } },
  ]);
  for (const garbage of [undefined, null, 1, "x", [], {}, { signals: 1 }, { signals: [[]] }]) {
    assert.deepEqual(readInbox(garbage), []);
  }
});

test("every signal gets a result, also when the server gives too few", () => {
  const results = readResults({ results: [{ ok: true }, { error: { code: 429, message: "m", retry_ms: 9 } }] }, 3);
  assert.deepEqual(results, [
    { ok: true },
    { ok: false, code: 429, message: "m", retryMs: 9 },
    { ok: false, code: 503, message: "" },
  ]);
});

test("a policy with missing or odd fields takes the defaults, and never a maximum under the target", () => {
  assert.deepEqual(readPolicy(undefined), readPolicy({ degree_target: "x", gather_ms: -1, turn: "maybe" }));
  assert.equal(readPolicy({ degree_target: 20 }).degreeMax, 20);
  assert.equal(readPolicy({ idle_interval_s: 5 }).idleMs, 5000);
});

test("a connect reply without a peer id is not one of ours", () => {
  assert.equal(readWelcome({ v: 1 }), undefined);
  assert.equal(readWelcome(null), undefined);
  const welcome = readWelcome({ peer: "p", resume: "r", ice_servers: [{ urls: ["stun:x"] }, 7, { urls: 3 }] });
  assert.deepEqual([welcome.peer, welcome.iceServers, "first" in welcome], ["p", [{ urls: ["stun:x"] }], false]);
});

test("a list leaves out entries that nobody could be reached with", () => {
  const { peers, size, nextMs } = readPeers({
    peers: [{ peer: "a", ticket: "t", score: 0.5, near: "asn" }, { peer: "b" }, { ticket: "t" }, null],
    swarm_size: 9,
  });
  assert.deepEqual(peers, [{ peer: "a", ticket: "t", score: 0.5, near: "asn" }]);
  assert.deepEqual([size, nextMs], [9, 5000]);
});
