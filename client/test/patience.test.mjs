import assert from "node:assert/strict";
import { test } from "node:test";
import { Patience } from "../dist/patience.js";

const alone = { places: 8, underWay: 0, knowsNat: true };
const unknown = { ...alone, knowsNat: false };

/** Whose attempts failed so many times in a row, the last at 0. */
function failed(times) {
  const patience = new Patience();
  for (let n = 0; n < times; n++) patience.failed(0);
  return patience;
}

test("without experience all that is missing is tried for, and never less than nothing", () => {
  assert.equal(new Patience().missing(0, alone), 8);
  assert.equal(new Patience().missing(0, { ...alone, places: -4 }), 0);
});

test("whose attempts fail tries for fewer, and asks more seldom", () => {
  const patience = new Patience();
  for (let n = 0; n < 6; n++) {
    patience.failed(0);
    patience.opened();
  }
  assert.deepEqual([new Patience().luck, patience.luck, failed(6).luck], [1, 8 / 14, 2 / 8]);
  assert.equal(patience.missing(0, { ...alone, places: 7 }), 4);
});

test("until an attempt has worked three are under way at a time, or two by who does not know its NAT", () => {
  const patience = new Patience();
  const atOnce = (standing) => [0, 1, 2, 3, 4].map((underWay) => patience.atOnce({ ...standing, underWay }));
  assert.deepEqual(atOnce(alone), [3, 2, 1, 0, 0]);
  assert.deepEqual(atOnce(unknown), [2, 1, 0, 0, 0]);
  patience.failed(0);
  assert.deepEqual(atOnce(alone), [3, 2, 1, 0, 0]);
  patience.opened();
  assert.deepEqual(atOnce(unknown), Array(5).fill(Number.POSITIVE_INFINITY));
});

test("after three failures in a row, two by who does not know its NAT, there is a rest, and then one attempt", () => {
  assert.ok(failed(2).missing(0, alone) > 1);
  assert.ok(failed(1).missing(0, unknown) > 1);
  for (const [patience, standing] of [
    [failed(3), alone],
    [failed(2), unknown],
  ]) {
    const missing = (now, more) => patience.missing(now, { ...standing, ...more });
    assert.deepEqual([missing(0), missing(29_999), missing(30_000)], [0, 0, 1]);
    assert.equal(missing(30_000, { underWay: 1 }), 0, "one at a time, whoever began it");
    assert.equal(missing(30_000, { places: 0 }), 0);
  }
});

test("the rest begins with the last failure, and doubles with each up to eight minutes", () => {
  const patience = failed(2);
  const rests = [];
  for (let now = 1000; rests.length < 7; now += rests.at(-1)) {
    patience.failed(now);
    let ms = 0;
    while (patience.missing(now + ms, alone) === 0) ms += 1000;
    rests.push(ms);
  }
  assert.deepEqual(rests, [30_000, 60_000, 120_000, 240_000, 480_000, 480_000, 480_000]);
});

test("a link that opens, and another network, end the caution; what was learned of our luck stays", () => {
  for (const end of ["opened", "networkChanged"]) {
    const patience = failed(7);
    patience[end]();
    assert.ok(patience.missing(0, alone) > 1);
    assert.ok(patience.luck < 0.5);
    patience.failed(0);
    patience.failed(0);
    assert.ok(patience.missing(0, alone) > 1, "it counts anew");
    patience.failed(0);
    assert.equal(patience.missing(29_999, alone), 0);
    assert.equal(patience.missing(30_000, alone), 1, "and rests as at first");
  }
});
