// What becomes of attempts that make no link.
import assert from "node:assert/strict";
import { CONNECT_MS } from "../dist/session.js";
import { answer, begin, listed, offer, pass, scene, settle } from "./fakes.mjs";

scene("an unanswered offer is repeated twice with the same seq, then given up", async (stage) => {
  await begin(stage, listed("a"));
  await pass(1800);
  await pass(2900);
  assert.deepEqual(stage.sent("a"), ["offer", "offer", "offer"]);
  assert.deepEqual(
    stage.signals.map(({ seq }) => seq),
    [0, 0, 0],
  );
  await pass(5000);
  assert.deepEqual(stage.sent("a"), ["offer", "offer", "offer", "bye"]);
  assert.deepEqual(stage.phases("a"), ["expired"]);
  assert.equal(stage.connections[0].closed, true);
  await pass(7000);
  const [, asked] = stage.calls.findLast(([method]) => method === "peers");
  assert.deepEqual([asked.want, asked.exclude], [8, ["a"]]);
});

scene("a peer that is gone, and one that refuses, end the attempt at once", async (stage) => {
  stage.results = ({ to }) => ({ error: { code: to === "a" ? 410 : 403, message: "no" } });
  await begin(stage, listed("a", "b"));
  assert.deepEqual([stage.sent("a"), stage.sent("b")], [["offer"], ["offer"]]);
  assert.ok(stage.connections.every(({ closed }) => closed));
});

scene("whoever asked is told how an attempt ended, and why", async (stage) => {
  const codes = { a: 410, b: 403, c: 422 };
  await begin(stage);
  stage.results = ({ to }) => (to in codes ? { error: { code: codes[to], message: "no" } } : { ok: true });
  stage.lists.peers = listed("a", "b", "c", "d", "e");
  await stage.swarm.refresh();
  await settle();
  const session = (peer) => stage.signals.find(({ to }) => to === peer).session;
  stage.hear("d", session("d"), 0, { bye: { reason: "full" } });
  stage.hear("e", session("e"), 0, answer);
  await settle();
  stage.connections[4].channel.open();
  const ends = stage.named("attempt").filter(({ phase }) => phase !== "offering");
  assert.deepEqual(
    ends.map(({ peer, phase, role, reason }) => [peer, phase, role, reason]),
    [
      ["a", "gone", "offerer", "410 no"],
      ["b", "refused", "offerer", "403 no"],
      ["c", "refused", "offerer", "422 no"],
      ["d", "refused", "offerer", "full"],
      ["e", "connected", "offerer", undefined],
    ],
  );
});

scene(
  "an offer that the server took once is given up when its time is over, not when a repeat fails",
  async (stage) => {
    await begin(stage, listed("a"));
    stage.results = () => ({ error: { code: 503, message: "full" } });
    await pass(1800);
    for (let n = 0; n < 8; n++) await pass(600);
    assert.equal(stage.connections[0].closed, false);
    stage.results = () => ({ ok: true });
    await pass(3000);
    assert.deepEqual([stage.phases("a"), stage.sent("a").at(-1)], [["expired"], "bye"]);
  },
);

scene("an offer that the server took once ends when its peer is gone at a repeat", async (stage) => {
  await begin(stage, listed("a"));
  stage.results = () => ({ error: { code: 410, message: "the peer has left the swarm" } });
  await pass(1800);
  assert.deepEqual(stage.phases("a"), ["gone"]);
});

scene("a connection that fails ends its attempt at once", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.connections[0].turn("failed");
  assert.deepEqual(stage.phases("a"), ["answering", "failed"]);
});

scene("an offer that was never taken is given up after its retries", async (stage) => {
  stage.results = () => ({ error: { code: 503, message: "full" } });
  await begin(stage, listed("a"));
  await pass(700);
  await pass(1400);
  assert.deepEqual([stage.sent("a"), stage.phases("a")], [["offer", "offer", "offer"], ["expired"]]);
});

scene("when a bye is lost, no side waits longer than it would for a connection", async (stage) => {
  await begin(stage, listed("a"));
  stage.hear("a", stage.signals[0].session, 0, answer);
  stage.hear("b", "theirs", 0, offer);
  await settle();
  stage.listener.down(); // nor does it help to be away
  await pass(CONNECT_MS - 1);
  assert.deepEqual([stage.phases("a"), stage.phases("b")], [[], ["answering"]]);
  await pass(1);
  assert.deepEqual([stage.phases("a"), stage.phases("b")], [["failed"], ["answering", "failed"]]);
  assert.ok(stage.connections.every(({ closed }) => closed));
});

scene("an offer over budget is sent again when the server says, twice at most", async (stage) => {
  stage.results = () => ({ error: { code: 429, message: "slow", retry_ms: 1000 } });
  await begin(stage, listed("a"));
  await pass(900);
  assert.equal(stage.signals.length, 1);
  await pass(500);
  assert.equal(stage.signals.length, 2);
  await pass(1400);
  await pass(1400);
  assert.deepEqual([stage.signals.length, stage.phases("a")], [3, ["expired"]]);
});

scene(
  "offers are made up to the target, and taken up to the maximum; the next is told that we are full",
  async (stage) => {
    stage.policy = { degreeTarget: 2, degreeMax: 3 };
    await begin(stage, listed("a", "b", "c"));
    assert.equal(stage.connections.length, 2);
    stage.hear("d", "1", 0, offer);
    stage.hear("e", "2", 0, offer);
    await settle();
    assert.equal(stage.connections.length, 3);
    const [bye] = stage.signals.filter(({ to }) => to === "e");
    assert.deepEqual([bye.bye.reason, bye.ticket, bye.session], ["full", "A:e", "2"]);
  },
);

scene("an offer that the browser cannot read ends its attempt, and the peer hears of it", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, { offer: { sdp: "bad" } });
  await settle();
  assert.deepEqual(stage.phases("a"), ["answering", "failed"]);
  assert.equal(stage.signals[0].bye.reason, "failed");
});
