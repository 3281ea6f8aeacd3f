// Who meets whom, in five real tabs: HAProxy gives each an address, and two of them are in one network. One story, told
// in order.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Balancer } from "./balancer.mjs";
import { Demo, openBareTab, openBrowser } from "./stage.mjs";

/** Ann and Bob share a /24. All are of blocks that are kept for documentation and measurements. */
const ADDRESSES = {
  ann: "203.0.113.10",
  bob: "203.0.113.20",
  cem: "198.51.100.10",
  dia: "192.0.2.10",
  eve: "198.18.0.10",
};
/** In the network of Ann and Bob. */
const NEXT_DOOR = "203.0.113.30";
/** Of so many lists of one, a fair server names each of five 30 times; 16 are 0.3 % of such series. */
const LISTS = 150;

describe("five tabs in four networks", { timeout: 180_000 }, () => {
  let demo;
  let balancer;
  let browser;
  let context;
  let watcher;
  const tabs = {};
  const peers = {};

  before(async () => {
    demo = await Demo.start({ STARLING_RANKING__INTERVAL: "1s" });
    balancer = await Balancer.start([...Object.values(ADDRESSES), NEXT_DOOR], demo.gateway);
    browser = await openBrowser();
    context = await browser.newContext();
  });

  after(async () => {
    await browser?.close();
    await balancer?.stop();
    await demo?.stop();
  });

  async function open(name) {
    tabs[name] = await openBareTab(context, demo, { url: balancer.url(ADDRESSES[name]), swarm: "demo" });
    peers[name] = await tabs[name].peer();
  }

  const others = (name) => Object.keys(tabs).filter((one) => one !== name);
  const nameOf = (id) => Object.keys(peers).find((name) => peers[name] === id);
  const scoreOf = async (name) => (await demo.known(peers[name], () => true)).evidence?.score;

  test("who is in the same network comes first in a list, which says that it is near", async () => {
    await Promise.all(["bob", "cem", "dia", "eve"].map(open));
    const neighbour = await openWatcher(context, demo, balancer.url(NEXT_DOOR));
    let listed = [];
    await until(20_000, async () => {
      listed = await neighbour.list(4);
      return listed.length === 4;
    });
    listed = listed.map(({ peer, near }) => [nameOf(peer), near]);
    assert.deepEqual(listed[0], ["bob", "asn"]);
    assert.deepEqual(listed.slice(1).sort(), [
      ["cem", "far"],
      ["dia", "far"],
      ["eve", "far"],
    ]);
  });

  test("the library's lists are like that too, and it says who is near", async () => {
    await open("ann");
    const lists = tabs.ann.replies.flatMap(({ connect, rpc }) => [connect?.data.first?.peers ?? rpc?.data.peers ?? []]);
    assert.ok(lists.flat().length > 0);
    for (const list of lists) {
      const expected = list.map(({ peer }) => (nameOf(peer) === "bob" ? "asn" : "far"));
      assert.deepEqual(
        list.map(({ near }) => near),
        expected.toSorted(),
      );
    }
    const said = await tabs.ann.page.evaluate(() =>
      [...window.swarm.peers.values()].map(({ peer, near }) => [peer, near]),
    );
    assert.ok(said.length > 0);
    for (const [peer, near] of said) assert.equal(near, peer === peers.bob ? "asn" : "far");
  });

  test("everybody links with everybody, over the real addresses", async () => {
    for (const { page } of Object.values(tabs)) await page.waitForFunction(() => window.swarm.links.size === 4);
  });

  test("before anybody complains, everybody is listed about as often", async () => {
    watcher = await openWatcher(context, demo, `ws://127.0.0.1:${demo.gateway}/connection/websocket`);
    const named = [];
    while (named.length < LISTS) await watch(named);
    for (const name of Object.keys(peers)) assert.ok(!isRare(named, peers[name]), counted(named));
  });

  test("a tab of which the others report failures is listed less", async () => {
    for (const name of others("eve")) await tabs[name].page.evaluate(complain, peers.eve);
    const complains = ({ receipts }) => receipts.some(({ peer, bad }) => peer === peers.eve && bad >= 16);
    await Promise.all(others("eve").map((name) => tabs[name].called("report", complains)));
    // From the reports on, the server has twenty seconds.
    await until(20_000, async () => {
      const scores = await Promise.all(others("eve").map(scoreOf));
      return (await scoreOf("eve")) * 2 < Math.min(...scores);
    });
    const named = [];
    await until(40_000, async () => {
      await watch(named);
      return named.length >= LISTS && isRare(named.slice(-LISTS), peers.eve);
    }).catch((error) => assert.fail(`${error.message}: ${counted(named)}`));
  });

  test("nothing went wrong in any page", () => {
    for (const { errors } of Object.values(tabs)) assert.deepEqual(errors, []);
  });

  /** One more list of one. */
  async function watch(named) {
    named.push(...(await watcher.list(1)).map(({ peer }) => peer));
  }

  /** Whether a peer is named less than half as often as the others are. */
  function isRare(named, peer) {
    const times = named.filter((one) => one === peer).length;
    const each = (named.length - times) / (Object.keys(peers).length - 1);
    return times * 2 < each;
  }

  function counted(named) {
    const count = (peer) => named.filter((one) => one === peer).length;
    return JSON.stringify(Object.fromEntries(Object.entries(peers).map(([name, peer]) => [name, count(peer)])));
  }
});

/** In a page: says of sixteen segments from this peer that they were wrong, and of some that they came too late. */
function complain(peer) {
  const link = window.swarm.links.get(peer);
  for (let segment = 0; segment < 16; segment++) link.wasBad();
  for (let segment = 0; segment < 4; segment++) link.timedOut();
}

/** Somebody who only looks, and is no member: with raw calls, since the library asks when it wants to. */
async function openWatcher(context, demo, url) {
  const page = await context.newPage();
  await page.goto(demo.plain);
  await page.evaluate(async (address) => {
    const { token } = await (await fetch("/token?swarm=demo")).json();
    const socket = new WebSocket(address);
    const waiting = new Map();
    let id = 0;
    const call = (command) =>
      new Promise((resolve) => {
        waiting.set(++id, resolve);
        socket.send(JSON.stringify({ id, ...command }));
      });
    socket.onmessage = ({ data }) => {
      for (const line of data.split("\n")) {
        const message = JSON.parse(line);
        if (message.id === undefined)
          socket.send("{}"); // a ping
        else waiting.get(message.id)?.(message);
      }
    };
    await new Promise((resolve) => {
      socket.onopen = resolve;
    });
    await call({ connect: { data: { v: 1, token } } });
    const ask = async (method, data) => {
      const { rpc, error } = await call({ rpc: { method, data: { swarm: "demo", ...data } } });
      if (error) throw new Error(error.message);
      return rpc.data;
    };
    window.list = async (want) => {
      const { peers } = await ask("peers", { want });
      // Who leaves holds no slots and has met nobody: so each list is like a stranger's first.
      await ask("leave", {});
      return peers;
    };
  }, url);
  return { list: (want) => page.evaluate((most) => window.list(most), want) };
}

/** Waits until it is so, and fails when it is not in time. */
async function until(ms, isSo) {
  const end = Date.now() + ms;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not so after ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
