// Reports: when they are sent, and what they say of whom.
import assert from "node:assert/strict";
import { test } from "node:test";
import { StarlingError } from "../dist/errors.js";
import { LIMITS } from "../dist/protocol.js";
import { Receipts } from "../dist/receipts.js";
import { EXPIRE_MS, REPEAT_JITTER } from "../dist/session.js";
import { begin, linked, listed, offer, passed, scene, settle } from "./fakes.mjs";

const reports = ({ calls }) => calls.filter(([method]) => method === "report").map(([, report]) => report);
const last = (stage) => reports(stage).at(-1);

/** Lets a time pass in steps, as it does. */
scene("reports come every interval while there are links, and every idle interval otherwise", async (stage) => {
  await begin(stage);
  await passed(100_000);
  const idle = reports(stage).length;
  assert.ok(idle >= 2 && idle <= 4, `${idle}`);
  stage.hear("a", "1", 0, offer);
  await settle();
  stage.connections[0].arrive();
  await passed(100_000);
  const busy = reports(stage).length - idle;
  assert.ok(busy >= 9 && busy <= 12, `${busy}`);
  assert.deepEqual(
    reports(stage).map(({ seq }) => seq),
    Array.from({ length: idle + busy }, (_, n) => n + 1),
  );
});

scene("a link that nobody counts is told of by what its channel carried", async (stage) => {
  await linked(stage);
  stage.connections[0].carried = { bytesReceived: 5000, bytesSent: 300 };
  await passed(11_000);
  const { receipts, ...about } = last(stage);
  const own = { swarm: "s", epoch: 0, seq: 1, up_bytes: 300, down_bytes: 5000, http_bytes: 0, rebuffers: 0 };
  assert.deepEqual(about, { ...own, degree: 1, hidden: false, battery_low: false });
  const connect_ms = Math.round(stage.named("link")[0].openedInMs);
  const connection = { connected: true, candidate_type: "srflx", rtt_ms: 12, connect_ms };
  const counters = { bytes: 5000, busy_ms: 0, ok: 0, timeout: 0, bad: 0 };
  assert.deepEqual(receipts, [{ peer: "a", ticket: "O:a", ...connection, ...counters }]);
});

scene("what the application counts is what counts, over all links with a peer", async (stage) => {
  await linked(stage);
  const [link] = stage.named("link");
  stage.connections[0].carried = { bytesReceived: 900, bytesSent: 0 };
  link.received(700, 20.4);
  link.received(300, 9.5);
  link.received(Number.NaN, -1);
  link.timedOut();
  link.wasBad();
  await passed(11_000);
  const counters = ({ bytes, busy_ms, ok, timeout, bad }) => [bytes, busy_ms, ok, timeout, bad];
  assert.deepEqual(counters(last(stage).receipts[0]), [1000, 30, 3, 1, 1]);
  link.close();
  stage.hear("a", "again", 0, offer);
  await settle();
  stage.connections[1].arrive();
  stage.connections[1].carried = { bytesReceived: 600, bytesSent: 0 };
  stage.named("link")[1].received(50, 1);
  await passed(11_000);
  const [receipt] = last(stage).receipts;
  assert.deepEqual([receipt.ticket, counters(receipt)], ["A:a", [1050, 31, 4, 1, 1]]);
  assert.equal(last(stage).down_bytes, 1500, "bytes of a new channel begin at 0");
});

scene("another peer id tells nothing again that the one before has told", async (stage) => {
  await linked(stage);
  stage.connections[0].carried = { bytesReceived: 5000, bytesSent: 300 };
  stage.swarm.fetched(700);
  stage.swarm.rebuffered();
  await passed(11_000);
  const own = ({ up_bytes, down_bytes, http_bytes, rebuffers }) => [up_bytes, down_bytes, http_bytes, rebuffers];
  assert.deepEqual(own(last(stage)), [300, 5000, 700, 1]);
  stage.listener.down();
  stage.up();
  await passed(20_000);
  assert.deepEqual(own(last(stage)), [300, 5000, 700, 1], "the same one goes on counting");
  stage.listener.down();
  stage.up({ peer: "nnn" });
  stage.swarm.fetched(40);
  await passed(40_000);
  assert.deepEqual(own(last(stage)), [0, 0, 40, 0]);
});

scene("an attempt that came to nothing is told of, until one succeeds", async (stage) => {
  stage.policy = { reportMs: 5000, idleMs: 5000 };
  await begin(stage, listed("a", "b"));
  stage.hear("b", stage.signals[1].session, 0, { bye: { reason: "full" } });
  await passed(EXPIRE_MS * (1 + REPEAT_JITTER) + 6000);
  const said = () => last(stage).receipts.map(({ peer, ticket, connected }) => [peer, ticket, connected]);
  assert.deepEqual(said(), [["a", "O:a", false]], "who has enough links did nothing wrong");
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.connections[2].arrive();
  await passed(6000);
  assert.deepEqual(said(), [["a", "A:a", true]]);
});

scene("a report that fails is nobody's trouble, and the next one says the same and more", async (stage) => {
  await linked(stage);
  const [link] = stage.named("link");
  link.received(10, 1);
  const { call } = stage;
  stage.call = async (...said) => {
    await call.apply(stage, said);
    if (said[0] === "report") throw new StarlingError(503, "not now", true);
    return {};
  };
  await passed(11_000);
  link.received(10, 1);
  stage.call = call;
  await passed(11_000);
  assert.deepEqual(
    reports(stage).map(({ seq, receipts }) => [seq, receipts[0].ok]),
    [
      [1, 1],
      [2, 2],
    ],
  );
  assert.deepEqual(stage.named("error"), []);
});

scene("nothing is reported while the connection is away, nor after leaving", async (stage) => {
  await linked(stage);
  stage.listener.down();
  await passed(60_000);
  assert.equal(reports(stage).length, 0);
  stage.up();
  await passed(13_000);
  assert.equal(reports(stage).length, 1);
  await stage.swarm.leave();
  await passed(60_000);
  assert.equal(reports(stage).length, 1);
});

scene("under another id nothing is said of those whom we knew under the old one", async (stage) => {
  await linked(stage);
  stage.listener.down();
  stage.up({ peer: "nnn" });
  await passed(13_000);
  assert.deepEqual([last(stage).degree, last(stage).receipts], [1, []], "the tickets were for somebody else");
});

scene("a page is hidden once nobody has seen it for a minute", async (stage) => {
  await linked(stage);
  const document = { visibilityState: "hidden" };
  globalThis.document = document;
  try {
    await passed(55_000);
    assert.ok(reports(stage).every(({ hidden }) => !hidden));
    document.visibilityState = "visible";
    await passed(11_000);
    document.visibilityState = "hidden";
    await passed(55_000);
    assert.ok(
      reports(stage).every(({ hidden }) => !hidden),
      "it was seen in between",
    );
    await passed(30_000);
    assert.equal(last(stage).hidden, true);
    document.visibilityState = "visible";
    await passed(11_000);
    assert.equal(last(stage).hidden, false);
  } finally {
    delete globalThis.document;
  }
});

scene("of those whose links have closed it remembers the last", async (stage) => {
  stage.policy = { reportMs: 5000, idleMs: 5000 };
  await begin(stage);
  for (let n = 0; n < 100; n++) {
    stage.hear(`p${n}`, "theirs", 0, offer);
    await settle();
    stage.connections[n].arrive();
    stage.named("link")[n].close();
  }
  await passed(60_000);
  const told = new Set(reports(stage).flatMap(({ receipts }) => receipts.map(({ peer }) => peer)));
  assert.deepEqual([told.size, told.has("p99")], [64, true]);
});

test("of more than a report holds, those with news come first, and everybody in turn", () => {
  const receipts = new Receipts();
  const tallies = Array.from({ length: 40 }, (_, n) => receipts.opened(`p${n}`, "t", 1));
  const names = (seq) => receipts.next(seq).receipts.map(({ peer }) => peer);
  const told = [...names(1), ...names(2), ...names(3)];
  assert.deepEqual([told.length, new Set(told).size], [48, 40]);
  tallies[7].timedOut();
  assert.equal(names(4)[0], "p7");
  const again = new Set([4, 5, 6].flatMap(names));
  assert.equal(again.size, 40, "without news, too: a backend may have lost some");
  tallies[9].wasBad();
  receipts.next(8).failed();
  assert.equal(names(9)[0], "p9", "what was not heard is still news");
});

test("memory of peers is bounded, and those of open links stay", () => {
  const receipts = new Receipts();
  receipts.opened("open", "t", 1);
  receipts.opened("shut", "t", 1);
  receipts.closed("shut");
  for (let n = 0; n < 200; n++) receipts.failed(`p${n}`, "t");
  const told = new Set(
    Array.from({ length: 20 }, (_, n) => receipts.next(n + 1).receipts)
      .flat()
      .map(({ peer }) => peer),
  );
  assert.deepEqual([told.size, told.has("open"), told.has("shut"), told.has("p199")], [64, true, false, true]);
});

test("the longest report is within the server's limit", () => {
  const receipts = new Receipts();
  for (let n = 0; n < 16; n++) {
    const tally = receipts.opened("p".repeat(20) + String(n).padStart(2, "0"), "t".repeat(30), 1e9);
    tally.measure({ received: 0, sent: 0, rttMs: 1e9, candidateType: "srflx" });
    tally.received(1e14, 1e11);
    for (let times = 0; times < 9999; times++) tally.received(1, 1);
    for (let times = 0; times < 999; times++) tally.timedOut();
  }
  const said = receipts.next(1).receipts;
  const next = receipts.next(2).receipts;
  const told = new Set([...said, ...next].map(({ peer }) => peer));
  assert.equal(told.size, 16, "who did not fit is told of next");
  const most = Number.MAX_SAFE_INTEGER;
  const counted = { up_bytes: most, down_bytes: most, http_bytes: most, rebuffers: 2 ** 32 - 1, playhead: most };
  const head = { epoch: 0, seq: 99_999, ...counted, degree: 256, battery_low: false, policy: "t".repeat(LIMITS.tag) };
  const report = { swarm: "s".repeat(128), ...head, hidden: false, receipts: said };
  assert.ok(JSON.stringify(report).length <= 4096, `${JSON.stringify(report).length}`);
});

test("of several links with one peer the latest says how long it took", () => {
  const receipts = new Receipts();
  receipts.failed("a", "t");
  const said = () => receipts.next(1).receipts.map(({ connected, connect_ms }) => [connected, connect_ms]);
  assert.deepEqual(said(), [[false, undefined]]);
  receipts.opened("a", "t", 812.6);
  receipts.closed("a");
  receipts.opened("a", "t", 90.2);
  assert.deepEqual(said(), [[true, 90]]);
  receipts.failed("a", "t");
  assert.deepEqual(said(), [[true, 90]]);
  receipts.opened("a", "t", 1e9);
  assert.deepEqual(said(), [[true, 600_000]]);
});
