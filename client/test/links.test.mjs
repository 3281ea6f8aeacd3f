// How links come and go: signals in and out of one swarm.
import assert from "node:assert/strict";
import { mock } from "node:test";
import { StarlingError } from "../dist/errors.js";
import { HELD_MS } from "../dist/recent.js";
import { answer, begin, kindOf, linked, listed, OWN, offer, pass, scene, settle } from "./fakes.mjs";

scene("the join is sent before the offers, and all offers of one round in one call", async (stage) => {
  await begin(stage, listed("a", "b", "z"));
  const methods = stage.calls.map(([method]) => method);
  assert.deepEqual(methods, ["join", "signal"]);
  const { want, exclude } = stage.calls[0][1];
  assert.deepEqual([want, exclude], [5, ["a", "b", "z"]], "not those of the first list again");
  assert.deepEqual(
    stage.signals.map(({ to, ticket, seq }) => [to, ticket, seq]),
    [
      ["a", "O:a", 0],
      ["b", "O:b", 0],
      ["z", "O:z", 0],
    ],
  );
  assert.ok(stage.signals.every((signal) => signal.offer.sdp.includes("a=candidate:1 offer")));
});

scene("an answer and an open channel make a link", async (stage) => {
  await begin(stage, listed("a"));
  const [{ session }] = stage.signals;
  stage.hear("a", session, 0, answer);
  await settle();
  assert.equal(stage.connections[0].remote.sdp, "v=0 answer");
  stage.connections[0].channel.open();
  const [link] = stage.named("link");
  assert.deepEqual([link.peer, link.session, stage.swarm.links.get("a")], ["a", session, link]);
  await pass(60_000);
  assert.deepEqual(stage.sent("a"), ["offer"], "nothing is repeated once it is answered");
});

scene("an offer is answered with the reverse ticket, and its channel makes a link", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  const [said] = stage.signals;
  assert.deepEqual([said.to, said.ticket, said.session, said.seq, kindOf(said)], ["a", "A:a", "theirs", 0, "answer"]);
  stage.connections[0].arrive();
  assert.equal(stage.named("link")[0].peer, "a");
});

scene("an answer alone is published, and so are its repeats, as the one signal that it is", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.hear("a", "theirs", 0, offer);
  await settle();
  const [published, again] = stage.calls.slice(1);
  const { answer: said, ...head } = published[1];
  assert.deepEqual([published[0], published[2]], ["publish", "a"]);
  assert.deepEqual(head, { swarm: "s", ticket: "A:a", session: "theirs", seq: 0 }, "whom it is for, says the channel");
  assert.match(said.sdp, /^v=0\r\n/);
  assert.deepEqual(again, published);
});

scene("a gateway that takes no publications is told the answer by a call, and the link comes about", async (stage) => {
  stage.noPublish = new StarlingError(103, "permission denied");
  await begin(stage);
  for (const peer of ["a", "b"]) {
    stage.hear(peer, "theirs", 0, offer);
    await settle();
  }
  const methods = stage.calls.map(([method]) => method);
  assert.deepEqual(methods, ["join", "publish", "signal", "signal"]);
  stage.connections[0].arrive();
  assert.deepEqual(stage.phases("a"), ["answering", "connected"]);
});

scene("an answer that the server cannot publish now is published again, at our own pace", async (stage) => {
  stage.results = () => ({ error: { code: 503, message: "too many signals are waiting" } });
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.results = () => ({ ok: true });
  await pass(499);
  assert.equal(stage.signals.length, 1);
  await pass(160);
  assert.deepEqual(
    stage.calls.slice(1).map(([method, { seq }]) => [method, seq]),
    [
      ["publish", 0],
      ["publish", 0],
    ],
  );
  assert.deepEqual(stage.phases("a"), ["answering"]);
});

scene("a repeated offer is answered again with the same seq, and opens nothing new", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.hear("a", "theirs", 0, offer);
  await settle();
  assert.deepEqual(
    stage.signals.map((signal) => [kindOf(signal), signal.seq]),
    [
      ["answer", 0],
      ["answer", 0],
    ],
  );
  assert.equal(stage.connections.length, 1);
});

scene("an offer of a session that is over is dropped", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.hear("a", "theirs", 1, { bye: { reason: "x" } });
  stage.hear("a", "theirs", 0, offer);
  await settle();
  assert.equal(stage.connections.length, 1);
  assert.deepEqual(stage.phases("a"), ["answering", "refused"]);
});

scene("of two crossing offers the smaller id's stands: we drop ours for a smaller one", async (stage) => {
  assert.ok("a" < OWN);
  await begin(stage, listed("a"));
  stage.hear("a", "theirs", 0, offer);
  await settle();
  assert.deepEqual(stage.phases("a"), ["superseded", "answering"]);
  assert.deepEqual(stage.sent("a"), ["offer", "answer"]);
  assert.equal(stage.connections[0].closed, true);
});

scene("of two crossing offers the smaller id's stands: ours stands against a larger one", async (stage) => {
  assert.ok("z" > OWN);
  await begin(stage, listed("z"));
  const [{ session }] = stage.signals;
  stage.hear("z", "theirs", 0, offer);
  await settle();
  assert.deepEqual(stage.sent("z"), ["offer"]);
  stage.hear("z", session, 0, answer);
  await settle();
  assert.equal(stage.connections[0].remote.type, "answer");
});

scene("candidates that overtake their offer are added after it", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 1, { candidates: ["candidate:9 ufrag x"], end: true });
  stage.hear("a", "theirs", 1, { candidates: ["candidate:9 ufrag x"], end: true });
  stage.hear("a", "theirs", 0, offer);
  await settle();
  assert.deepEqual(stage.connections[0].added, ["candidate:9 ufrag x", ""]);
});

scene("candidates that overtake their answer are added after it", async (stage) => {
  await begin(stage, listed("a"));
  const [{ session }] = stage.signals;
  stage.hear("a", session, 1, { candidates: ["candidate:9 ufrag x"] });
  await settle();
  assert.deepEqual(stage.connections[0].added, []);
  stage.hear("a", session, 0, answer);
  stage.hear("a", session, 2, { candidates: ["candidate:8 ufrag x"], end: true });
  await settle();
  assert.deepEqual(stage.connections[0].added, ["candidate:9 ufrag x", "candidate:8 ufrag x", ""]);
});

scene("an offer that is refused for now follows its candidates, and they wait for it", async (stage) => {
  stage.policy = { gatherMs: 0 };
  stage.results = (signal) => ("offer" in signal ? { error: { code: 503, message: "full" } } : { ok: true });
  await begin(stage, listed("a"));
  stage.connections[0].find({ candidate: "candidate:1", usernameFragment: "u1", tcpType: null });
  await pass(60);
  await pass(20);
  stage.results = () => ({ ok: true });
  await pass(700);
  assert.deepEqual(stage.sent("a"), ["offer", "candidates", "offer"]);
  // The other side, when the repeats were needed too.
  stage.hear("b", "theirs", 1, { candidates: ["candidate:9 ufrag x"], end: true });
  await pass(HELD_MS - 1);
  stage.hear("b", "theirs", 0, offer);
  await settle();
  assert.deepEqual(stage.connections[1].added, ["candidate:9 ufrag x", ""]);
});

scene("late candidates travel in batches of at most twenty, the last with end", async (stage) => {
  stage.policy = { gatherMs: 0 };
  await begin(stage, listed("a"));
  const [connection] = stage.connections;
  assert.deepEqual(stage.sent("a"), ["offer"]);
  for (let i = 0; i < 25; i++) connection.find({ candidate: `candidate:${i}`, usernameFragment: "u1", tcpType: null });
  await pass(70);
  await pass(20);
  const batches = stage.signals.slice(1);
  assert.deepEqual(
    batches.map(({ candidates, end }) => [candidates.length, end]),
    [
      [20, undefined],
      [5, true],
    ],
  );
  assert.equal(batches[0].candidates[0], "candidate:0 ufrag u1");
});

scene("a second answer is not for us", async (stage) => {
  await begin(stage, listed("a"));
  const [{ session }] = stage.signals;
  stage.hear("a", session, 0, answer);
  stage.hear("a", session, 1, { answer: { sdp: "v=0 another" } });
  await settle();
  assert.equal(stage.connections[0].remote.sdp, "v=0 answer");
});

scene("an answer that was taken once stands, though its repeat is refused for now", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.results = () => ({ error: { code: 503, message: "full" } });
  stage.hear("a", "theirs", 0, offer);
  await settle();
  for (let n = 0; n < 3; n++) await pass(1400);
  assert.equal(stage.signals.length, 4, "the repeat, and two more tries");
  stage.connections[0].arrive();
  assert.deepEqual(stage.phases("a"), ["answering", "connected"]);
});

scene("the memory of sessions that are over is bounded, and the oldest goes first", async (stage) => {
  await begin(stage);
  for (let n = 0; n <= 512; n++) stage.hear("a", `s${n}`, 1, { bye: { reason: "x" } });
  stage.hear("a", "s1", 0, offer);
  await settle();
  assert.equal(stage.connections.length, 0);
  stage.hear("a", "s0", 0, offer);
  await settle();
  assert.equal(stage.connections.length, 1);
});

scene("a link that ends is gone, and its peer is left alone for a while unless it offers", async (stage) => {
  await linked(stage);
  stage.lists.peers = listed("a");
  stage.connections[0].channel.shut();
  assert.deepEqual(
    stage.named("unlink").map(({ reason }) => reason),
    ["closed"],
  );
  assert.equal(stage.swarm.links.size, 0);
  await pass(7000);
  assert.equal(stage.connections.length, 1);
  stage.hear("a", "again", 0, offer);
  await settle();
  assert.equal(stage.connections.length, 2);
});

scene("a disconnected link has five seconds to come back", async (stage) => {
  await linked(stage);
  const [connection] = stage.connections;
  connection.turn("disconnected");
  await pass(4000);
  connection.turn("connected");
  await pass(6000);
  assert.equal(stage.swarm.links.size, 1);
  connection.turn("disconnected");
  await pass(5000);
  assert.deepEqual(
    stage.named("unlink").map(({ reason }) => reason),
    ["disconnected"],
  );
});

scene("a peer that offers anew has lost the link, so its offer replaces it", async (stage) => {
  await linked(stage);
  stage.hear("a", "new", 0, offer);
  await settle();
  assert.deepEqual(
    stage.named("unlink").map(({ reason }) => reason),
    ["replaced"],
  );
  assert.deepEqual(stage.sent("a"), ["offer", "answer"]);
});

scene("a link that is closed says so to the peer", async (stage) => {
  await linked(stage);
  stage.swarm.links.get("a").close("seeking");
  await settle();
  const said = stage.signals.at(-1);
  assert.deepEqual([said.bye.reason, said.seq, said.session], ["seeking", 1, stage.signals[0].session]);
  assert.deepEqual(
    stage.named("unlink").map(({ reason }) => reason),
    ["seeking"],
  );
});

scene("an error in a listener does not stop the swarm", async (stage) => {
  await begin(stage);
  const shown = mock.method(console, "error", () => {});
  stage.swarm.on("attempt", () => {
    throw new Error("the application's own");
  });
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.connections[0].arrive();
  shown.mock.restore();
  assert.equal(stage.swarm.links.size, 1);
});
