// The search for what our NAT does: when it is made, who waits for it, and when the server is told.
import assert from "node:assert/strict";
import { mock } from "node:test";
import { StarlingError } from "../dist/errors.js";
import { JOIN_WAITS_MS } from "../dist/joining.js";
import { PATIENCE_MS } from "../dist/probe.js";
import { listed, pass, passed, scene, settle, withNetwork } from "./fakes.mjs";

const STUN = [{ urls: ["stun:one.example", "stun:two.example"] }];
const mapped = (port) => ({
  candidate: "candidate:1 1 udp 1 198.51.100.7 4000 typ srflx",
  type: "srflx",
  protocol: "udp",
  address: "198.51.100.7",
  port,
  relatedAddress: "192.168.1.2",
  relatedPort: 5000,
  foundation: "1",
});
const joins = ({ calls }) => calls.flatMap(([method, { want, net }]) => (method === "join" ? [[want, net.nat]] : []));

/** Who has got an offer, after as long as ours are gathered for. */
async function offered(stage) {
  await pass(150);
  return stage.signals.flatMap(({ to, offer }) => (offer ? [to] : []));
}

/** Connected, between two servers that have not answered yet, unless `options` say otherwise. Returns who asks them. */
async function looking(stage, options, first) {
  stage.nat = undefined;
  stage.iceServers = STUN;
  stage.silent = true;
  void stage.join(options).catch(() => {});
  await settle();
  stage.up({ first });
  return stage.connections.find(({ channel }) => channel.label === "probe");
}

/** The same, joined without an answer. */
async function waited(stage) {
  const probe = await looking(stage);
  await pass(JOIN_WAITS_MS);
  stage.swarm = await stage.opening;
  return probe;
}

/** The servers see these mappings, and then gathering is complete. */
async function see(probe, ...ports) {
  for (const port of ports) probe.find(mapped(port));
  probe.find(null);
  await settle();
}

scene("the first join waits for what is found of the NAT, and says it", async (stage) => {
  const probe = await looking(stage);
  assert.deepEqual(joins(stage), []);
  await see(probe, 4000);
  assert.deepEqual(joins(stage), [[8, "eim"]]);
  assert.equal(probe.closed, true);
  assert.deepEqual(probe.config, { iceServers: [{ urls: ["stun:one.example", "stun:two.example"] }] });
  stage.listener.down();
  stage.up();
  await passed(1000);
  assert.deepEqual(joins(stage).slice(1), [[8, "eim"]], "in the same network it is not asked again");
  assert.equal(stage.connections.length, 1);
});

scene("it waits 300 ms; what is found later is told without asking for peers", async (stage) => {
  const probe = await looking(stage);
  await pass(299);
  assert.deepEqual(joins(stage), []);
  await pass(1);
  assert.deepEqual(joins(stage), [[8, undefined]]);
  await see(probe, 4000);
  assert.deepEqual(joins(stage).slice(1), [[0, "eim"]]);
});

scene("what is found while the first join is under way is told when that is done", async (stage) => {
  const probe = await looking(stage);
  const { call } = stage;
  let answered;
  stage.call = (...said) => new Promise((resolve) => (answered = resolve)).then(() => call.apply(stage, said));
  await pass(JOIN_WAITS_MS);
  stage.call = call;
  await see(probe, 4000);
  assert.deepEqual(joins(stage), []);
  answered();
  await settle();
  assert.deepEqual(joins(stage), [
    [8, undefined],
    [0, "eim"],
  ]);
});

scene(
  "while the NAT is looked for two of the first list are tried, and more of the join's once it is known",
  async (stage) => {
    stage.lists.join = listed("c", "d", "e");
    const probe = await looking(stage, {}, listed("a", "b", "x"));
    assert.equal(stage.gatewayOptions.first.want, 2, "so no more are asked for");
    assert.deepEqual(await offered(stage), ["a", "b"]);
    await see(probe, 4000);
    assert.deepEqual(joins(stage), [[6, "eim"]]);
    assert.deepEqual(await offered(stage), ["a", "b", "c"]);
  },
);

scene("where the NAT is known from the start, as many are asked for and tried as may be at a time", async (stage) => {
  await looking(stage, { net: { nat: "open" } }, listed("a", "b", "c"));
  assert.equal(stage.gatewayOptions.first.want, 3);
  assert.deepEqual(await offered(stage), ["a", "b", "c"]);
});

scene("under another id the network may be another, so it is looked at again, and no join waits", async (stage) => {
  await see(await looking(stage), 4000);
  stage.listener.down();
  stage.up({ peer: "nnn" });
  for (let ms = 0; ms < 1000 && stage.connections.length < 2; ms++) await pass(1);
  assert.deepEqual(joins(stage).slice(1), [[8, undefined]]);
  await see(stage.connections[1], 4001, 4002);
  assert.deepEqual(joins(stage).slice(2), [[0, "apdm"]]);
});

scene("a connection that goes away while the first join waits is joined once, when it is back", async (stage) => {
  const probe = await looking(stage);
  stage.listener.down();
  stage.up();
  await see(probe, 4000);
  await pass(JOIN_WAITS_MS);
  await passed(1000);
  assert.deepEqual(joins(stage), [[8, "eim"]]);
});

scene("silent servers cost three seconds in the background, and nobody is told anything", async (stage) => {
  const probe = await waited(stage);
  await pass(PATIENCE_MS - JOIN_WAITS_MS - 1);
  assert.deepEqual([probe.closed, stage.swarm.state], [false, "joined"]);
  await pass(1);
  assert.deepEqual([probe.closed, joins(stage)], [true, [[8, undefined]]]);
});

for (const [why, options] of [
  ["the application knows its NAT", { net: { nat: "apdm", type: "wifi" } }],
  ["the application does not want it", { net: { nat: "unknown" } }],
  ["it wants relays only", { rtc: { iceServers: STUN, iceTransportPolicy: "relay" } }],
  ["there is one STUN server only", { rtc: { iceServers: [{ urls: ["stun:one.example", "stun:one.example:3478"] }] } }],
  ["there is none", { rtc: { iceServers: [] } }],
]) {
  scene(`when ${why} no server is asked, and the join is sent in the same turn`, async (stage) => {
    assert.equal(await looking(stage, options), undefined);
    assert.deepEqual(joins(stage), [[8, options.net?.nat]]);
    await pass(PATIENCE_MS);
    assert.deepEqual([joins(stage).length, stage.connections.length], [1, 0]);
  });
}

scene("when that word does not get through the whole join is done again", async (stage) => {
  const probe = await waited(stage);
  stage.failing = new StarlingError(503, "not now", true);
  await see(probe, 4000);
  stage.failing = undefined;
  await passed(3000);
  assert.deepEqual(joins(stage).at(-1), [8, "eim"]);
});

scene("leaving ends the search", async (stage) => {
  const probe = await waited(stage);
  const leaving = stage.swarm.leave();
  await settle();
  assert.equal(probe.closed, true);
  await pass(1000);
  await leaving;
  assert.deepEqual(joins(stage), [[8, undefined]]);
  mock.timers.tick(10_000);
});

scene("who gives up while the first join waits does not join", async (stage) => {
  const aborting = new AbortController();
  const probe = await looking(stage, { signal: aborting.signal });
  aborting.abort();
  await pass(JOIN_WAITS_MS);
  assert.deepEqual([probe.closed, joins(stage)], [true, []]);
});

scene("when the browser says that the network is another one, the next join looks again", (stage) =>
  withNetwork(async (change) => {
    await see(await looking(stage), 4000);
    stage.swarm = await stage.opening;
    change();
    stage.listener.down();
    stage.up();
    await passed(1000);
    assert.deepEqual(joins(stage).at(-1), [8, undefined]);
    assert.equal(stage.connections.length, 2);
    await stage.swarm.leave();
  }),
);

scene("what is found says nothing of a network that came while it was looked for", (stage) =>
  withNetwork(async (change) => {
    const probe = await waited(stage);
    change();
    await see(probe, 4000);
    assert.deepEqual(joins(stage), [[8, undefined]]);
    await stage.swarm.leave();
  }),
);

scene("what is found while the connection is away is told by the next join", async (stage) => {
  const probe = await waited(stage);
  stage.listener.down();
  await see(probe, 4000);
  assert.deepEqual(joins(stage), [[8, undefined]]);
  stage.up();
  await passed(1000);
  assert.deepEqual(joins(stage).slice(1), [[8, "eim"]]);
});

scene("what is found of a network that was left meanwhile is nobody's business", async (stage) => {
  const old = await waited(stage);
  stage.listener.down();
  stage.up({ peer: "nnn" });
  await passed(1000);
  const [, probe] = stage.connections;
  await see(old, 4000);
  assert.deepEqual(joins(stage), [
    [8, undefined],
    [8, undefined],
  ]);
  await see(probe, 4001, 4002);
  assert.deepEqual(joins(stage).slice(2), [[0, "apdm"]]);
});
