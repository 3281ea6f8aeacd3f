// How a stay in a swarm begins, survives and ends: join, reconnect, leave.
import assert from "node:assert/strict";
import { mock } from "node:test";
import { StarlingError } from "../dist/errors.js";
import { answer, begin, linked, listed, OWN, offer, pass, Stage, scene, settle } from "./fakes.mjs";

scene("over a reconnect links stay, and unanswered offers are repeated with the same seq", async (stage) => {
  await linked(stage);
  stage.lists.peers = listed("b");
  await stage.swarm.refresh();
  await settle();
  stage.listener.down();
  assert.equal(stage.swarm.state, "connecting");
  await pass(60_000);
  assert.deepEqual(stage.sent("b"), ["offer"], "nothing is sent, and nothing expires, while the connection is away");
  stage.up();
  await pass(1000);
  assert.equal(stage.swarm.state, "joined");
  assert.deepEqual([stage.swarm.links.size, stage.connections.length], [1, 2]);
  assert.deepEqual(stage.sent("b"), ["offer", "offer"]);
});

scene("when publications were missed, unanswered offers are made anew", async (stage) => {
  await begin(stage, listed("a"));
  stage.listener.down();
  stage.up({ recovered: false });
  await pass(1000);
  const [first, second] = stage.signals;
  assert.deepEqual([stage.signals.length, first.session === second.session, second.seq], [2, false, 0]);
  assert.equal(stage.connections[0].closed, true);
});

scene(
  "after every reconnect an answer that the server did not take is sent again, one that it took is not",
  async (stage) => {
    for (const recovered of [true, false]) {
      stage = new Stage();
      await begin(stage);
      stage.hear("a", "1", 0, offer);
      await settle();
      stage.results = () => ({ error: { code: 503, message: "full" } });
      stage.hear("b", "2", 0, offer);
      await settle();
      stage.listener.down();
      stage.results = () => ({ ok: true });
      await pass(3000);
      stage.up({ recovered });
      await pass(1000);
      assert.deepEqual([stage.sent("a"), stage.sent("b")], [["answer"], ["answer", "answer"]], `${recovered}`);
      assert.deepEqual(new Set(stage.signals.map(({ seq }) => seq)), new Set([0]));
    }
  },
);

scene("an offer is repeated after each reconnect, until its answer comes", async (stage) => {
  await begin(stage, listed("a"));
  for (let n = 0; n < 3; n++) {
    stage.listener.down();
    stage.up();
    await pass(1000);
  }
  assert.deepEqual(stage.sent("a"), ["offer", "offer", "offer", "offer"]);
  assert.equal(new Set(stage.signals.map(({ session, seq }) => `${session} ${seq}`)).size, 1);
  stage.listener.down();
  stage.up();
  stage.hear("a", stage.signals[0].session, 0, answer); // it was among what was missed
  await pass(1000);
  assert.equal(stage.sent("a").length, 4);
});

scene("under another id peers are offered to anew, with tickets for it", async (stage) => {
  await begin(stage, listed("a"));
  stage.listener.down();
  stage.lists.join = [{ ...listed("a")[0], ticket: "O:a for nnn" }];
  stage.up({ peer: "nnn" });
  await pass(1000);
  const [first, second] = stage.signals;
  assert.deepEqual(
    [stage.sent("a"), second.ticket, second.seq, first.session === second.session],
    [["offer", "offer"], "O:a for nnn", 0, false],
  );
  stage.hear("a", first.session, 0, answer);
  await settle();
  assert.equal(stage.connections[1].remote, null, "an answer to what is void");
});

scene("another id voids what is pending, and leaves open links open", async (stage) => {
  await linked(stage);
  stage.lists.peers = listed("b");
  await stage.swarm.refresh();
  await settle();
  stage.listener.down();
  stage.lists = {};
  stage.up({ peer: "nnn" });
  await pass(1000);
  assert.deepEqual(stage.named("identity"), [{ peer: "nnn", previous: OWN }]);
  assert.equal(stage.swarm.peer, "nnn");
  stage.swarm.links.get("a").close();
  await settle();
  assert.deepEqual(stage.sent("a"), ["offer"], "no bye: the ticket was for our old id");
  assert.equal(stage.connections[0].closed, true);
  assert.deepEqual(stage.phases("b"), ["offering", "superseded"]);
});

scene("who was forgotten by the server joins again", async (stage) => {
  await begin(stage, []);
  stage.more.peers = { joined: false };
  const joins = () => stage.calls.filter(([method]) => method === "join").length;
  assert.equal(joins(), 1);
  await stage.swarm.refresh();
  await pass(1000);
  assert.equal(joins(), 2);
});

scene("leave says bye and leave, closes everything, and can be said twice", async (stage) => {
  await linked(stage);
  await Promise.all([stage.swarm.leave(), stage.swarm.leave()]);
  assert.deepEqual(
    stage.calls.slice(-2).map(([method]) => method),
    ["signal", "leave"],
  );
  assert.equal(stage.signals.at(-1).bye.reason, "leave");
  assert.deepEqual([stage.swarm.state, stage.swarm.links.size, stage.stopped], ["left", 0, true]);
  assert.ok(stage.connections.every(({ closed }) => closed));
  const calls = stage.calls.length;
  await pass(600_000);
  assert.equal(stage.calls.length, calls, "no timer is left");
  await assert.rejects(stage.swarm.refresh(), { code: 6 });
});

scene("who leaves right after a reconnect says its byes too", async (stage) => {
  await linked(stage);
  stage.listener.down();
  stage.up();
  await stage.swarm.leave();
  assert.deepEqual(
    stage.calls.slice(-2).map(([method]) => method),
    ["signal", "leave"],
  );
  assert.equal(stage.signals.at(-1).bye.reason, "leave");
});

scene("a final refusal after the join is an error, and the end", async (stage) => {
  await linked(stage);
  stage.listener.refused(new StarlingError(4501, "token expired"));
  assert.deepEqual(
    stage.named("error").map(({ code }) => code),
    [4501],
  );
  assert.deepEqual([stage.swarm.state, stage.swarm.links.size, stage.stopped], ["left", 0, true]);
});

scene("a join that is refused rejects with the server's code", async (stage) => {
  stage.failing = new StarlingError(403, "swarm not allowed");
  const opening = stage.join();
  await settle();
  stage.up();
  await assert.rejects(opening, { name: "StarlingError", code: 403 });
  assert.equal(stage.stopped, true);
});

scene("a join that the server cannot take now is repeated", async (stage) => {
  stage.failing = new StarlingError(503, "busy", true);
  const opening = stage.join();
  await settle();
  stage.up();
  await settle();
  stage.failing = undefined;
  await pass(1500);
  assert.equal((await opening).state, "joined");
});

scene("a join can be aborted, and a token that cannot be had rejects it", async (stage) => {
  const aborting = new AbortController();
  const opening = stage.join({ signal: aborting.signal });
  await settle();
  aborting.abort();
  await assert.rejects(opening, { code: 2 });
  assert.equal(stage.stopped, true);

  const other = new Stage();
  const failing = other.join();
  await settle();
  other.listener.trouble(new StarlingError(3, "getToken failed", true));
  await assert.rejects(failing, { code: 3 });
});

scene("signals that come before the join is done wait until somebody can listen", async (stage) => {
  const opening = stage.join();
  await settle();
  stage.up();
  stage.hear("a", "theirs", 0, offer);
  await settle();
  assert.equal(stage.connections.length, 0);
  await opening;
  await pass(1);
  assert.equal(stage.connections.length, 1);
});

scene("the sign of life comes within the idle interval also when nobody is missing", async (stage) => {
  stage.policy = { degreeTarget: 1 };
  await linked(stage);
  await pass(29_000);
  const [, asked] = stage.calls.findLast(([method]) => method === "peers");
  assert.deepEqual([asked.want, asked.exclude], [0, ["a"]]);
});

scene("what waited to be said under an id is not said under another", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  stage.listener.down();
  await settle();
  stage.up({ peer: "nnn" });
  await pass(1000);
  assert.deepEqual(stage.signals, []);
});

scene("a bye that waited under an id is not said under another, and is said under the same", async (stage) => {
  for (const [peer, sent] of [
    ["nnn", ["offer"]],
    [OWN, ["offer", "bye"]],
  ]) {
    stage = new Stage();
    await linked(stage);
    stage.listener.down();
    stage.swarm.links.get("a").close();
    stage.up({ peer });
    await pass(1000);
    assert.deepEqual(stage.sent("a"), sent);
  }
});

scene("an answer that waited for the connection is sent when it is back", async (stage) => {
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  stage.listener.down();
  await settle();
  stage.up();
  await pass(1000);
  assert.deepEqual(stage.sent("a"), ["answer"]);
});

scene("while the connection is away nobody is asked for peers", async (stage) => {
  await begin(stage);
  stage.listener.down();
  const calls = stage.calls.length;
  await pass(60_000);
  assert.equal(stage.calls.length, calls);
});

scene("an offer that was repeated over a reconnect is still given up in the end", async (stage) => {
  await begin(stage, listed("a"));
  stage.listener.down();
  stage.up();
  await pass(1000);
  await pass(10_000);
  assert.deepEqual(stage.phases("a"), ["expired"]);
});

scene("aborting after the join changes nothing", async (stage) => {
  const aborting = new AbortController();
  await begin(stage, [], { signal: aborting.signal });
  aborting.abort();
  assert.equal(stage.swarm.state, "joined");
});

scene("a server that no longer knows us is joined again", async (stage) => {
  await begin(stage);
  stage.failing = new StarlingError(404, "not joined");
  await assert.rejects(stage.swarm.refresh(), { code: 404 });
  mock.timers.tick(7000);
  stage.failing = undefined;
  await pass(0);
  assert.equal(stage.calls.at(-1)[0], "join");
});
