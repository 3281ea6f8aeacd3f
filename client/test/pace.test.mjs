// When things are said: how the times fit together, and that many clients do not come back in step.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { OVER_MS } from "../dist/mesh.js";
import { HELD_MS, SEEN_MS } from "../dist/recent.js";
import { CONNECT_MS, EXPIRE_MS, REPEAT_JITTER, REPEAT_MS } from "../dist/session.js";
import { backoffMs, retryMs, verdict } from "../dist/verdict.js";
import { listed, pass, Stage, scene, settle } from "./fakes.mjs";

/** Numbers in [0, 1) that look random and are the same every time (mulberry32). */
function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("the times fit together", () => {
  const [, last] = REPEAT_MS;
  const latest = 1 + REPEAT_JITTER;
  let retries = 0;
  let retried = 0;
  while (verdict(503, retries) === "again") retried += retryMs(retries++, 60_000, () => 1);
  assert.ok(HELD_MS > retried + last * latest, "candidates wait for as long as their offer may still come");
  assert.ok(EXPIRE_MS * (1 - REPEAT_JITTER) > last * latest + 2000, "the last repeat has the time to be answered");
  assert.ok(CONNECT_MS > EXPIRE_MS * latest, "an answerer still listens when the offerer gives up");
  const history = 60_000; // of the gateway
  assert.ok(SEEN_MS > history && OVER_MS > history, "what the gateway hands over again is known as a repeat");
});

const SLOT_MS = 50;

/** How often tabs said something in each slot from now on; `said` counts what a tab said so far. */
async function counted(tabs, ms, said) {
  const total = () => sum(tabs.map(said));
  const counts = [];
  for (let before = total(); counts.length * SLOT_MS < ms; before += counts.at(-1)) {
    await pass(SLOT_MS);
    counts.push(total() - before);
  }
  return counts;
}

const TABS = 1000;
const sum = (counts) => counts.reduce((one, other) => one + other, 0);

/** A thousand tabs in the same instant. */
async function crowd(peers = []) {
  mock.method(Math, "random", seeded(1));
  const tabs = Array.from({ length: TABS }, () => new Stage());
  await Promise.all(tabs.map((tab) => tab.joined(peers)));
  mock.timers.tick(1);
  await settle();
  return tabs;
}

const joins = ({ calls }) => calls.filter(([method]) => method === "join").length;
const offers = ({ signals }) => signals.filter((signal) => "offer" in signal).length;

/** Once for each tab between these times, and nearly as even as it can be. */
function assertEven(counts, fromMs, toMs) {
  const [from, to] = [(fromMs - 1) / SLOT_MS, toMs / SLOT_MS]; // timers know whole milliseconds
  assert.equal(sum(counts.slice(Math.max(0, Math.floor(from)), Math.ceil(to))), TABS, `${counts}`);
  const fair = TABS / (to - from);
  const whole = counts.slice(Math.ceil(from), Math.floor(to));
  assert.ok(
    whole.every((count) => count > fair / 2 && count < fair * 1.5),
    `${counts}`,
  );
}

scene("a thousand tabs whose gateway was restarted join again over a second", async () => {
  const tabs = await crowd();
  for (const tab of tabs) tab.listener.down();
  for (const tab of tabs) tab.up();
  await settle();
  assertEven(await counted(tabs, 1200, joins), 0, 1000);
  mock.restoreAll();
});

scene("what they repeat or held back meanwhile comes at the same moments", async () => {
  for (const recovered of [true, false]) {
    const tabs = await crowd(listed("a"));
    for (const tab of tabs) tab.listener.down();
    for (const tab of tabs) tab.up({ recovered });
    await settle();
    assertEven(await counted(tabs, 1000, offers), 0, 1000);
    mock.restoreAll();
  }
});

scene("a thousand tabs that a server has forgotten join again over a second", async () => {
  const tabs = await crowd();
  for (const tab of tabs) tab.more.peers = { joined: false };
  await Promise.all(tabs.map((tab) => tab.swarm.refresh()));
  assertEven(await counted(tabs, 1200, joins), 0, 1000);
  mock.restoreAll();
});

scene("offers that a thousand tabs made in one instant are repeated apart, at about 1.5 and 4 s", async () => {
  const tabs = await crowd(listed("a"));
  const counts = await counted(tabs, 5000, offers);
  assert.equal(sum(counts), 2 * TABS);
  for (const ms of [1500, 4000]) assertEven(counts, ms * 0.85, ms * 1.15);
  mock.restoreAll();
});

test("calls that a server cannot take are repeated apart, and later each time", () => {
  const random = seeded(2);
  for (let failures = 0; failures < 4; failures++) {
    const all = Array.from({ length: TABS }, () => backoffMs(failures, random)).sort((a, b) => a - b);
    const middle = 1000 * 2 ** failures;
    assert.ok(all[0] >= middle * 0.7 && all[TABS - 1] <= middle * 1.3);
    assert.ok(all[TABS * 0.9] - all[TABS * 0.1] > middle * 0.4, "spread, not bunched");
  }
  const retries = Array.from({ length: TABS }, () => retryMs(0, 1000, random)).sort((a, b) => a - b);
  assert.ok(retries[0] >= 1000 && retries[TABS * 0.9] - retries[TABS * 0.1] > 200);
});
