import assert from "node:assert/strict";
import { test } from "node:test";
import { askInMs } from "../dist/asking.js";
import { Code, fromCall } from "../dist/errors.js";
import { Emitter } from "../dist/events.js";
import { bestKind } from "../dist/gathering.js";
import { checked } from "../dist/options.js";
import { networkOf } from "../dist/page.js";
import { backoffMs, retryMs, theirOfferStands, verdict } from "../dist/verdict.js";

test("when two offer to each other, both agree that the smaller id's offer stands", () => {
  for (const [a, b] of [
    ["a", "b"],
    ["Z", "a"],
    ["-", "_"],
  ]) {
    assert.equal(theirOfferStands(a, b), false);
    assert.equal(theirOfferStands(b, a), true);
  }
});

test("a peer that is gone is gone, what is refused is refused, and trouble is tried twice again", () => {
  assert.equal(verdict(410, 0), "gone");
  for (const code of [400, 401, 403, 413, 422]) assert.equal(verdict(code, 0), "refused");
  for (const code of [429, 503, Code.connection]) {
    assert.deepEqual(
      [0, 1, 2].map((retries) => verdict(code, retries)),
      ["again", "again", "expired"],
    );
  }
});

test("a retry comes never before the server's time, and later each time without one", () => {
  assert.equal(
    retryMs(0, 700, () => 0),
    700,
  );
  assert.ok(retryMs(0, 700, () => 1) > 700);
  assert.ok(retryMs(1, undefined, () => 0) > retryMs(0, undefined, () => 0));
  assert.ok(backoffMs(30, () => 1) < 20_000);
});

const need = { missing: 3, nextMs: 8000, sinceMs: 0, freed: false, idleMs: 30_000, luck: 1 };

test("with links missing, peers are asked for when the server said, not earlier", () => {
  assert.equal(
    askInMs(need, () => 0),
    8000,
  );
  assert.equal(
    askInMs({ ...need, sinceMs: 3000 }, () => 0),
    5000,
  );
  assert.ok(askInMs(need, () => 0.99) > 8000);
  assert.equal(
    askInMs({ ...need, luck: 0.5 }, () => 0),
    16_000,
  );
});

test("a place that became free waits five seconds after the last list at most", () => {
  assert.equal(
    askInMs({ ...need, freed: true }, () => 0),
    5000,
  );
  assert.equal(
    askInMs({ ...need, freed: true, sinceMs: 60_000 }, () => 0),
    250,
  );
});

test("with all links there, or a server that wants peace, the sign of life still comes within the idle interval", () => {
  for (const random of [0, 0.5, 0.99]) {
    assert.ok(askInMs({ ...need, missing: 0 }, () => random) < 30_000);
    assert.ok(askInMs({ ...need, nextMs: 600_000 }, () => random) < 30_000);
  }
});

test("a listener that throws breaks neither the others nor the one who emits", () => {
  const thrown = [];
  const emitter = new Emitter((error) => thrown.push(error));
  const heard = [];
  emitter.on("x", () => {
    throw new Error("mine");
  });
  const off = emitter.on("x", (value) => heard.push(value));
  emitter.emit("x", 1);
  off();
  emitter.emit("x", 2);
  assert.deepEqual(heard, [1]);
  assert.equal(thrown.length, 2);
});

test("options are refused with the name of the one to mend", () => {
  const good = { url: "wss://h/", token: "t", swarm: "movie/42/1080p" };
  assert.equal(checked(good), good);
  const { token: _, ...without } = good;
  for (const [bad, name] of [
    [{ ...good, url: "https://h/" }, /url/],
    [{ ...good, getToken: () => "t" }, /token/],
    [without, /token/],
    [{ ...good, swarm: "a b" }, /swarm/],
    [{ ...good, swarm: "" }, /swarm/],
  ]) {
    assert.throws(
      () => checked(bad),
      (error) => error.code === Code.options && name.test(error.message),
    );
  }
});

test("errors of calls keep the server's code; those of the connection are temporary", () => {
  assert.deepEqual(pick(fromCall({ code: 403, message: "no", temporary: false })), [403, "no", false]);
  assert.deepEqual(pick(fromCall({ code: 429, message: "slow", temporary: true })), [429, "slow", true]);
  assert.deepEqual(pick(fromCall({ code: 1, message: "timeout" })), [Code.connection, "timeout", true]);
  assert.deepEqual(pick(fromCall("odd")), [Code.connection, "odd", true]);
});

const pick = ({ code, message, temporary }) => [code, message, temporary];

test("how long gathering is worth waiting for depends on the servers there are", () => {
  assert.equal(bestKind({}), "host");
  assert.equal(bestKind({ iceServers: [{ urls: ["stun:a"] }] }), "srflx");
  assert.equal(bestKind({ iceServers: [{ urls: "stun:a" }, { urls: ["turns:b"] }] }), "relay");
});

test("the network is told as far as the browser tells it", () => {
  assert.deepEqual(networkOf({ connection: { type: "cellular", saveData: true } }), {
    type: "cellular",
    save_data: true,
  });
  assert.deepEqual(networkOf({}), {});
  assert.deepEqual(networkOf(undefined), {});
});
