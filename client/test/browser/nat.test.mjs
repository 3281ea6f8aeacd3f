// The search for a NAT's behaviour in a real browser. The servers are fakes, since a machine has no NAT of its own.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { FakeStun } from "./fake-stun.mjs";
import { Demo, openBareTab, openBrowser } from "./stage.mjs";

const MAPPED = "198.51.100.7";

describe("a tab between two STUN servers", { timeout: 60_000 }, () => {
  let demo;
  let browser;
  const servers = [];

  before(async () => {
    demo = await Demo.start();
    browser = await openBrowser();
  });

  after(async () => {
    for (const server of servers) server.stop();
    await browser?.close();
    await demo?.stop();
  });

  /** Joins where each server sees the mapping that is given for it. */
  async function behind(...mappings) {
    const asked = await Promise.all(mappings.map((mapping) => FakeStun.start(mapping)));
    servers.push(...asked);
    const rtc = { iceServers: [{ urls: asked.map(({ url }) => url) }] };
    const url = `ws://127.0.0.1:${demo.gateway}/connection/websocket`;
    const tab = await openBareTab(await browser.newContext(), demo, { url, swarm: "demo", rtc });
    return { ...tab, asked };
  }

  /** It says so in its first join or, where the search took long, in a second that asks for nobody; the backend knows it. */
  async function found(tab, nat) {
    const join = await tab.called("join", ({ net }) => net.nat !== undefined);
    assert.equal(join.net.nat, nat);
    await demo.known(await tab.peer(), (known) => known.nat === nat);
    const joins = tab.commands.filter(({ rpc }) => rpc?.method === "join").map(({ rpc }) => rpc.data);
    const [before, ...more] = joins.slice(0, joins.indexOf(join));
    assert.deepEqual([joins.at(-1), more], [join, []], "it is said once");
    if (before !== undefined) assert.deepEqual([before.net.nat, join.want], [undefined, 0]);
    assert.ok(tab.asked.every(({ asked }) => asked > 0));
    assert.deepEqual(tab.errors, []);
  }

  test("finds one mapping that both have seen: endpoint-independent", async () => {
    const shifted = (port) => ({ address: MAPPED, port: port ^ 1 });
    await found(await behind(shifted, shifted), "eim");
  });

  test("finds a mapping for each of them: address and port dependent", async () => {
    const shifted = (by) => (port) => ({ address: MAPPED, port: port ^ by });
    await found(await behind(shifted(1), shifted(2)), "apdm");
  });
});
