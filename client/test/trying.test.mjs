// How many peers are tried at a time, before a first link and after attempts in vain.
import assert from "node:assert/strict";
import { mock } from "node:test";
import { CONNECT_MS } from "../dist/session.js";
import { answer, begin, listed, offer, pass, passed, Stage, scene, settle, withNetwork } from "./fakes.mjs";

const SIX = listed("a", "b", "c", "d", "e", "f");

/** Whom we have offered to, and the tickets for it. */
const offered = ({ signals }) => signals.flatMap(({ to, ticket, offer }) => (offer ? [`${to} ${ticket}`] : []));
const tickets = (...peers) => peers.map((peer) => `${peer} O:${peer}`);

/** Joined, and listed these. */
async function given(stage, peers, options) {
  stage.lists.join = peers;
  await begin(stage, undefined, options);
}

/** Our offers are answered. */
async function answered(stage, ...peers) {
  for (const peer of peers) {
    const { session } = stage.signals.findLast(({ to, offer }) => to === peer && offer);
    stage.hear(peer, session, 0, answer);
  }
  await settle();
}

/** They are answered, and nothing comes of it. */
async function inVain(stage, ...peers) {
  await answered(stage, ...peers);
  await pass(CONNECT_MS);
}

/** A link that somebody else begins opens. */
async function linkedBy(stage, peer) {
  stage.hear(peer, "theirs", 0, offer);
  await settle();
  stage.connections.at(-1).arrive();
  await settle();
}

/** How many peers were asked for. */
const asked = ({ calls }) => calls.flatMap(([method, { want }]) => (method === "peers" ? [want] : []));

scene("until an attempt has worked three are under way, and then the others of the list are tried", async (stage) => {
  await given(stage, [...SIX, ...listed("g", "h", "i")]);
  assert.deepEqual(offered(stage), tickets("a", "b", "c"));
  await answered(stage, "b");
  assert.equal(offered(stage).length, 3);
  stage.connections[1].channel.open();
  await settle();
  assert.deepEqual(offered(stage).slice(3), tickets("d", "e", "f", "g", "h"), "eight are aimed at");
  await answered(stage, "d");
  stage.connections[3].channel.open();
  stage.connections[3].channel.shut();
  await settle();
  assert.equal(offered(stage).length, 8, "from there on nobody waits");
});

scene("who does not know its NAT has two under way until then", async (stage) => {
  for (const nat of [undefined, "unknown"]) {
    const one = new Stage();
    one.nat = nat;
    await given(one, SIX);
    assert.deepEqual(offered(one), tickets("a", "b"));
  }
  await given(stage, SIX, { net: { nat: "apdm" } });
  assert.equal(offered(stage).length, 3);
});

scene(
  "also a link that another began shows that attempts work; while it is one, it is one of the three",
  async (stage) => {
    await given(stage, []);
    stage.hear("x", "theirs", 0, offer);
    await settle();
    stage.lists.peers = SIX;
    await stage.swarm.refresh();
    await settle();
    assert.deepEqual(offered(stage), tickets("a", "b"));
    stage.connections[0].arrive();
    await settle();
    assert.deepEqual(offered(stage).slice(2), tickets("c", "d", "e", "f"));
  },
);

scene("as much is asked for as is missing, and the next list takes the place of those who wait", async (stage) => {
  await given(stage, SIX);
  stage.lists.peers = listed("x", "y");
  await stage.swarm.refresh();
  assert.deepEqual(asked(stage), [5]);
  await linkedBy(stage, "z");
  assert.deepEqual(offered(stage).slice(3), tickets("x", "y"));
});

scene(
  "who is in a hurry asks for all that it has room for, and has no more than three under way either",
  async (stage) => {
    stage.policy = { want: 16 };
    await given(stage, []);
    stage.lists.peers = SIX;
    await stage.swarm.refresh({ urgent: true });
    await settle();
    assert.deepEqual([asked(stage), offered(stage).length], [[12], 3]);
  },
);

scene("those who wait are forgotten with our id, since their tickets are void", async (stage) => {
  await given(stage, SIX);
  stage.listener.down();
  stage.up({ peer: "nnn" });
  await linkedBy(stage, "z");
  assert.equal(stage.connections.length, 4);
});

scene("those who wait are forgotten when the page goes away, even if it comes back", async (stage) => {
  const page = new EventTarget();
  globalThis.addEventListener = (...listening) => page.addEventListener(...listening);
  try {
    await given(stage, SIX);
    for (const name of ["pagehide", "pageshow"]) {
      page.dispatchEvent(Object.assign(new Event(name), { persisted: true }));
    }
    await linkedBy(stage, "z");
    assert.equal(stage.connections.length, 4);
  } finally {
    delete globalThis.addEventListener;
  }
});

scene("a peer that is full or gone teaches nothing of our network, so the next one is tried at once", async (stage) => {
  await given(stage, SIX);
  stage.hear("a", stage.signals[0].session, 0, { bye: { reason: "full" } });
  await settle();
  assert.deepEqual(offered(stage).slice(3), tickets("d"));
  await answered(stage, "b");
  stage.connections[1].turn("failed");
  await settle();
  assert.equal(offered(stage).length, 4, "the server may know better after that");
});

scene(
  "after three attempts in vain it asks for nobody, and then for one, and rests longer each time",
  async (stage) => {
    mock.method(Math, "random", () => 0.5);
    await given(stage, listed("a", "b", "c"));
    await inVain(stage, "a", "b", "c");
    const before = asked(stage).length;
    let count = 0;
    stage.lists = {
      get peers() {
        return listed(`p${++count}`, `q${count}`);
      },
    };
    const attempts = [];
    for (let now = 0; now < 3_600_000; now += 500) {
      const earlier = offered(stage).length;
      await pass(500);
      const [one, ...more] = offered(stage).slice(earlier);
      if (one === undefined) continue;
      assert.deepEqual(more, []);
      attempts.push(now);
      await answered(stage, one.split(" ")[0]);
    }
    assert.deepEqual(new Set(asked(stage).slice(before)), new Set([0, 1]));
    assert.equal(asked(stage).filter((want) => want === 1).length, attempts.length);
    let failedAt = 0;
    for (const [n, at] of attempts.entries()) {
      const restMs = 30_000 * 2 ** Math.min(n, 4);
      assert.ok(at >= failedAt + restMs - 1000 && at <= failedAt + restMs + 30_000, `${attempts}`);
      failedAt = at + CONNECT_MS;
    }
    assert.ok(attempts.length >= 8);
    mock.restoreAll();
  },
);

scene("a link that opens after that, and another network, make it ask again, and soon", (stage) =>
  withNetwork(async (change) => {
    mock.method(Math, "random", () => 0.5);
    for (const encourage of [() => linkedBy(stage, "z"), change]) {
      stage = new Stage();
      await given(stage, listed("a", "b", "c"));
      await inVain(stage, "a", "b", "c");
      while (asked(stage).at(-1) !== 0) await pass(500);
      await encourage();
      const before = asked(stage).length;
      await passed(15_000);
      assert.deepEqual(asked(stage).slice(before), [4]);
      await stage.swarm.leave();
    }
    mock.restoreAll();
  }),
);
