import assert from "node:assert/strict";
import { test } from "node:test";
import { Hold, Recent, Seen } from "../dist/recent.js";

test("a signal is new once, whatever comes between", () => {
  const seen = new Seen();
  assert.equal(seen.first(0, "a", "s", 0), true);
  assert.equal(seen.first(0, "a", "s", 1), true);
  assert.equal(seen.first(0, "b", "s", 0), true);
  assert.equal(seen.first(0, "a", "t", 0), true);
  assert.equal(seen.first(1, "a", "s", 0), false);
  assert.equal(seen.first(1, "a", "s", 1), false);
});

test("after 64 signals of one session no more are listened to", () => {
  const seen = new Seen();
  const taken = Array.from({ length: 100 }, (_, seq) => seen.first(0, "a", "s", seq)).filter(Boolean);
  assert.equal(taken.length, 64);
});

test("a flood of sessions forgets the oldest and keeps no more than its bound", () => {
  const recent = new Recent(3);
  for (const key of ["a", "b", "c", "d"]) recent.set(0, key, key, 1000);
  assert.equal(recent.size, 3);
  assert.equal(recent.has(0, "a"), false);
  assert.equal(recent.get(0, "d"), "d");
});

test("an entry that is set again is the newest", () => {
  const recent = new Recent(2);
  recent.set(0, "a", 1, 1000);
  recent.set(0, "b", 1, 1000);
  recent.set(0, "a", 2, 1000);
  recent.set(0, "c", 1, 1000);
  assert.deepEqual(recent.keys(0), ["a", "c"]);
});

test("an entry is gone when its time is over", () => {
  const recent = new Recent(3);
  recent.set(0, "a", "a", 1000);
  assert.equal(recent.get(999, "a"), "a");
  assert.equal(recent.get(1000, "a"), undefined);
  assert.equal(recent.size, 0);
});

test("candidates wait for their description, in order, and are handed over once", () => {
  const hold = new Hold();
  hold.put(0, "a", "s", { candidates: ["1", "2"], end: false });
  hold.put(0, "a", "s", { candidates: ["3"], end: true });
  hold.put(0, "a", "other", { candidates: ["x"], end: false });
  assert.deepEqual(hold.take(0, "a", "s"), { candidates: ["1", "2", "3"], end: true });
  assert.deepEqual(hold.take(0, "a", "s"), { candidates: [], end: false });
});

test("candidates whose description does not come are forgotten after twenty seconds", () => {
  const hold = new Hold();
  hold.put(0, "a", "s", { candidates: ["1"], end: false });
  hold.put(0, "a", "t", { candidates: ["1"], end: false });
  assert.deepEqual(hold.take(19_999, "a", "s").candidates, ["1"]);
  assert.deepEqual(hold.take(20_000, "a", "t").candidates, []);
});

test("candidates are held for no more than 64 sessions", () => {
  const hold = new Hold();
  for (let n = 0; n <= 64; n++) hold.put(0, "a", `s${n}`, { candidates: ["1"], end: false });
  assert.deepEqual(hold.take(0, "a", "s0").candidates, []);
  assert.deepEqual(hold.take(0, "a", "s1").candidates, ["1"]);
});

test("what was seen is remembered for longer than the gateway's history, and of no more than 512 sessions", () => {
  const seen = new Seen();
  seen.first(0, "a", "s0", 0);
  assert.equal(seen.first(60_001, "a", "s0", 0), false);
  for (let n = 1; n <= 511; n++) seen.first(60_001, "a", `s${n}`, 0);
  assert.equal(seen.first(60_001, "a", "s0", 0), false);
  seen.first(60_001, "a", "s512", 0);
  assert.equal(seen.first(60_001, "a", "s0", 0), true, "the oldest made room");
});

test("no more than 40 candidates are held for one session", () => {
  const hold = new Hold();
  for (let i = 0; i < 10; i++) hold.put(0, "a", "s", { candidates: Array(20).fill("c"), end: false });
  assert.equal(hold.take(0, "a", "s").candidates.length, 40);
});
