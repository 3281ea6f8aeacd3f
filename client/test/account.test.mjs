// What an application and its browser say of a viewer, and a policy that changes while somebody watches.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Battery } from "../dist/page.js";
import { readReported } from "../dist/protocol.js";
import { begin, linked, listed, offer, passed, scene, settle } from "./fakes.mjs";

const named = ({ calls }, method) => calls.filter(([one]) => one === method).map(([, data]) => data);
const last = (stage, method) => named(stage, method).at(-1);

scene("what servers sent and where playing stopped is added up and told in every report", async (stage) => {
  await linked(stage);
  stage.swarm.fetched(1000.4);
  stage.swarm.fetched(500);
  for (const nonsense of [-1, Number.NaN, "x"]) stage.swarm.fetched(nonsense);
  stage.swarm.rebuffered();
  await passed(11_000);
  const said = ({ http_bytes, rebuffers }) => [http_bytes, rebuffers];
  assert.deepEqual(said(last(stage, "report")), [1500, 1]);
  stage.swarm.fetched(Number.POSITIVE_INFINITY);
  stage.swarm.rebuffered();
  await passed(11_000);
  assert.deepEqual(said(last(stage, "report")), [Number.MAX_SAFE_INTEGER, 2]);
});

scene("the playhead goes with every call, in whole seconds, and not at all where there is none", async (stage) => {
  await begin(stage, listed("a"), { playhead: 61.9 });
  assert.equal(stage.gatewayOptions.first.playhead, 61);
  assert.equal(last(stage, "join").playhead, 61);
  stage.swarm.playhead = 75.2;
  assert.equal(stage.swarm.playhead, 75);
  await stage.swarm.refresh();
  assert.equal(last(stage, "peers").playhead, 75);
  await passed(34_000);
  assert.equal(last(stage, "report").playhead, 75);
  for (const nowhere of [undefined, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    stage.swarm.playhead = 5;
    stage.swarm.playhead = nowhere;
    assert.equal(stage.swarm.playhead, undefined);
    await stage.swarm.refresh();
    assert.equal("playhead" in last(stage, "peers"), false);
  }
});

scene("who is in a hurry says so, also while a call without hurry is under way", async (stage) => {
  await begin(stage);
  await stage.swarm.refresh();
  assert.equal("urgent" in last(stage, "peers"), false);
  const both = [stage.swarm.refresh(), stage.swarm.refresh({ urgent: true }), stage.swarm.refresh({ urgent: true })];
  await Promise.all(both);
  assert.deepEqual(
    named(stage, "peers").map(({ urgent }) => urgent),
    [undefined, undefined, true],
  );
});

scene("who is in a hurry takes more links than it aims at, up to the most that it may have", async (stage) => {
  stage.policy = { degreeTarget: 1, degreeMax: 3 };
  await begin(stage, listed("a"));
  stage.lists.peers = listed("b", "c", "d");
  await stage.swarm.refresh();
  assert.deepEqual([last(stage, "peers").want, stage.connections.length], [0, 1]);
  await stage.swarm.refresh({ urgent: true });
  await settle();
  assert.deepEqual([last(stage, "peers").want, stage.connections.length], [2, 3]);
});

scene("slots and bitrate go with the join, as numbers that the server takes", async (stage) => {
  await begin(stage, [], { slots: 1e9, bitrateKbps: 3500.6 });
  const { slots, bitrate_kbps } = last(stage, "join");
  assert.deepEqual([slots, bitrate_kbps], [65_535, 3501]);
});

scene("of slots and bitrate that are no numbers nothing is said", async (stage) => {
  await begin(stage, [], { slots: -1, bitrateKbps: Number.NaN });
  assert.deepEqual(
    Object.keys(last(stage, "join")).filter((name) => name === "slots" || name === "bitrate_kbps"),
    [],
  );
});

test("a battery is low at 15 percent, unless it is charging or nobody may know", async () => {
  const lowOf = async (getBattery) => {
    const battery = new Battery({ getBattery });
    await settle();
    return battery.isLow;
  };
  const manager = { level: 0.16, charging: false };
  const battery = new Battery({ getBattery: async () => manager });
  await settle();
  assert.equal(battery.isLow, false);
  manager.level = 0.15;
  assert.equal(battery.isLow, true);
  manager.charging = true;
  assert.equal(battery.isLow, false);
  assert.equal(await lowOf(undefined), false);
  assert.equal(await lowOf(() => Promise.reject(new Error("not allowed"))), false);
  assert.equal(
    await lowOf(() => {
      throw new Error("not allowed");
    }),
    false,
  );
});

const CHANGED = {
  degree_target: 2,
  degree_max: 2,
  want: 3,
  report_interval_s: 5,
  gather_ms: 7,
  upload: false,
  tag: "b",
};

scene("a report names the policy by its tag, and the policy in the reply holds from then on", async (stage) => {
  stage.tag = "a";
  await linked(stage);
  const before = stage.swarm.policy;
  stage.more.report = { policy: CHANGED };
  await passed(11_000);
  assert.equal(named(stage, "report")[0].policy, "a");
  const { policy } = stage.swarm;
  assert.deepEqual([policy.degreeTarget, policy.want, policy.reportMs, policy.upload], [2, 3, 5000, false]);
  assert.deepEqual(stage.named("policy"), [policy]);
  assert.equal(before.upload, true);
  // Its interval: the next report comes in five seconds, and says who we think we are.
  const count = named(stage, "report").length;
  await passed(6000);
  assert.equal(named(stage, "report").length, count + 1);
  assert.equal(last(stage, "report").policy, "b");
  assert.equal(stage.named("policy").length, 1, "the same again is no news");
  // Its degrees: one more link is aimed at, and two are the most.
  await stage.swarm.refresh();
  assert.equal(last(stage, "peers").want, 1);
  stage.hear("b", "theirs", 0, offer);
  stage.hear("c", "theirs", 0, offer);
  await settle();
  assert.deepEqual([stage.phases("b"), stage.sent("c")], [["answering"], ["bye"]]);
});

scene("a policy asks for no more peers at once than it says", async (stage) => {
  stage.policy = { want: 3 };
  await begin(stage);
  assert.equal(last(stage, "join").want, 3);
});

scene("with a server that names no policy nothing is said of it", async (stage) => {
  await linked(stage);
  const { policy } = stage.swarm;
  await passed(11_000);
  assert.equal("policy" in last(stage, "report"), false);
  assert.deepEqual([stage.swarm.policy, stage.named("policy")], [policy, []]);
});

scene("another policy with a reconnect is told too", async (stage) => {
  await linked(stage);
  stage.listener.down();
  stage.policy = { upload: false };
  stage.up();
  assert.deepEqual(
    stage.named("policy").map(({ upload }) => upload),
    [false],
  );
});

test("a policy in a reply is read whole, and what is none changes nothing", () => {
  assert.equal(readReported({}), undefined);
  assert.equal(readReported({ policy: null }), undefined);
  assert.equal(readReported({ policy: "b" }), undefined);
  assert.equal(readReported(undefined), undefined);
  assert.deepEqual(
    [{ want: 99, tag: "t" }, { tag: 7 }, { tag: "t".repeat(65) }].map((policy) => readReported({ policy }).tag),
    ["t", "", ""],
  );
  assert.equal(readReported({ policy: { want: 99 } }).policy.want, 8);
});

scene("a shorter idle interval holds for the call that is already planned", async (stage) => {
  stage.policy = { degreeTarget: 0 };
  await begin(stage);
  stage.hear("a", "theirs", 0, offer);
  await settle();
  stage.connections[0].arrive();
  stage.more.report = { policy: { degree_target: 0, idle_interval_s: 5 } };
  await passed(17_000);
  assert.equal(named(stage, "peers").length, 1, "by the old one it would be asked in 22 s at the earliest");
});
