// The search for what our NAT does: when it is made, and when the server is told of it.
import assert from "node:assert/strict";
import { mock } from "node:test";
import { StarlingError } from "../dist/errors.js";
import { PATIENCE_MS } from "../dist/probe.js";
import { pass, passed, scene, settle } from "./fakes.mjs";

const named = ({ calls }, method) => calls.filter(([one]) => one === method).map(([, data]) => data);

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
const joins = (stage) => named(stage, "join").map(({ want, net }) => [want, net.nat]);

/** Joined, with the probe's connection just made; it finds these before its gathering is complete. */
async function probing(stage, ports, options) {
  stage.iceServers = STUN;
  stage.silent = true;
  await stage.joined([], options);
  const [probe] = stage.connections;
  for (const port of ports) probe?.find(mapped(port));
  probe?.find(null);
  await pass(1);
  return probe;
}

scene("what the NAT does is found in the background, and the server told without asking for peers", async (stage) => {
  const probe = await probing(stage, [4000]);
  assert.deepEqual(joins(stage), [
    [8, undefined],
    [0, "eim"],
  ]);
  assert.equal(probe.closed, true);
  assert.deepEqual(probe.config, { iceServers: [{ urls: ["stun:one.example", "stun:two.example"] }] });
  stage.listener.down();
  stage.up();
  await passed(1000);
  assert.deepEqual(joins(stage).slice(2), [[8, "eim"]], "in the same network it is not asked again");
  assert.equal(stage.connections.length, 1);
});

scene("under another id the network may be another, so it is looked at again", async (stage) => {
  await probing(stage, [4000]);
  stage.listener.down();
  stage.up({ peer: "nnn" });
  for (let ms = 0; ms < 1000 && stage.connections.length < 2; ms++) await pass(1);
  for (const port of [4001, 4002]) stage.connections[1].find(mapped(port));
  stage.connections[1].find(null);
  await settle();
  assert.deepEqual(joins(stage).slice(2), [
    [8, undefined],
    [0, "apdm"],
  ]);
});

scene("silent servers cost three seconds in the background, and nobody is told anything", async (stage) => {
  stage.silent = true;
  await stage.joined([], { rtc: { iceServers: STUN } });
  const [probe] = stage.connections;
  await pass(PATIENCE_MS - 1);
  assert.deepEqual([probe.closed, stage.swarm.state], [false, "joined"]);
  await pass(1);
  assert.deepEqual([probe.closed, joins(stage)], [true, [[8, undefined]]]);
});

for (const [why, options] of [
  ["the application knows its NAT", { net: { nat: "apdm", type: "wifi" } }],
  ["it wants relays only", { rtc: { iceServers: STUN, iceTransportPolicy: "relay" } }],
  ["there is one STUN server only", { rtc: { iceServers: [{ urls: ["stun:one.example", "stun:one.example:3478"] }] } }],
]) {
  scene(`no server is asked when ${why}`, async (stage) => {
    assert.equal(await probing(stage, [], options), undefined);
    assert.deepEqual(joins(stage), [[8, options.net?.nat]]);
  });
}

scene("when that word does not get through the whole join is done again", async (stage) => {
  stage.iceServers = STUN;
  stage.silent = true;
  await stage.joined();
  stage.failing = new StarlingError(503, "not now", true);
  stage.connections[0].find(mapped(4000));
  stage.connections[0].find(null);
  await pass(1);
  stage.failing = undefined;
  await passed(3000);
  assert.deepEqual(joins(stage).at(-1), [8, "eim"]);
});

scene("leaving ends the search", async (stage) => {
  stage.silent = true;
  await stage.joined([], { rtc: { iceServers: STUN } });
  const leaving = stage.swarm.leave();
  await settle();
  assert.equal(stage.connections[0].closed, true);
  await pass(1000);
  await leaving;
  assert.deepEqual(joins(stage), [[8, undefined]]);
  mock.timers.tick(10_000);
});

/** As `play`, with a browser that can say that the network is another one. */
async function withNetwork(play) {
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

scene("when the browser says that the network is another one, the next join looks again", (stage) =>
  withNetwork(async (change) => {
    await probing(stage, [4000]);
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
    stage.iceServers = STUN;
    stage.silent = true;
    await stage.joined();
    change();
    stage.connections[0].find(mapped(4000));
    stage.connections[0].find(null);
    await pass(1);
    assert.deepEqual(joins(stage), [[8, undefined]]);
    await stage.swarm.leave();
  }),
);

scene("what is found while the connection is away is told by the next join", async (stage) => {
  stage.iceServers = STUN;
  stage.silent = true;
  await stage.joined();
  stage.listener.down();
  stage.connections[0].find(mapped(4000));
  stage.connections[0].find(null);
  await pass(1);
  assert.deepEqual(joins(stage), [[8, undefined]]);
  stage.up();
  await passed(1000);
  assert.deepEqual(joins(stage).slice(1), [[8, "eim"]]);
});

scene("what is found of a network that was left meanwhile is nobody's business", async (stage) => {
  stage.iceServers = STUN;
  stage.silent = true;
  await stage.joined();
  stage.listener.down();
  stage.up({ peer: "nnn" });
  await passed(1000);
  const [old, probe] = stage.connections;
  old.find(mapped(4000));
  old.find(null);
  await settle();
  assert.deepEqual(joins(stage), [
    [8, undefined],
    [8, undefined],
  ]);
  for (const port of [4001, 4002]) probe.find(mapped(port));
  probe.find(null);
  await settle();
  assert.deepEqual(joins(stage).slice(2), [[0, "apdm"]]);
});
