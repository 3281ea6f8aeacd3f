// What is read from the candidates that browsers give: the lines are theirs, with addresses for documentation in them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { natOf, serverOf, stunUrls } from "../dist/nat.js";

const SERVERS = ["one.example:3478", "two.example:3478"];
const ONE = "stun:one.example:3478";
const TWO = "stun:two.example:3478";

/** As a browser reads its own line; `url` is what it says of the server. */
function parsed(line, url) {
  const [foundation, , protocol, , address, port, , type, ...rest] = line.replace("candidate:", "").split(" ");
  const after = (word) => (rest.includes(word) ? rest[rest.indexOf(word) + 1] : null);
  const rport = after("rport");
  const related = { relatedAddress: after("raddr"), relatedPort: rport === null ? null : Number(rport) };
  return { foundation, protocol, address, port: Number(port), type, ...related, url };
}

/** Lines, or lines with the server's address. Gathering was completed by both servers' answers unless `more` says else. */
const nat = (lines, more = {}) =>
  natOf({
    servers: SERVERS,
    candidates: lines.map((line) => parsed(...[line].flat())),
    errors: [],
    complete: true,
    ...more,
  });

// Chromium 1xx, whose host candidates are addresses: after a page may use the camera, or where mDNS is off.
const CHROMIUM_HOST = ["candidate:3011667337 1 udp 2113937151 192.168.1.2 50917 typ host", ""];
const CHROMIUM_SIX = ["candidate:3035629881 1 udp 2113942271 [fd00::2] 43844 typ host", ""];
const CHROMIUM_TCP = ["candidate:1 1 tcp 1518157055 192.168.1.2 9 typ host tcptype active", ""];
const chromium = (port, url = ONE) => [
  `candidate:770681757 1 udp 1677729535 198.51.100.7 ${port} typ srflx raddr 192.168.1.2 rport 50917`,
  url,
];
// The same, as most pages see it. Safari says the same, and no server's address.
const HIDDEN_HOST = [
  "candidate:1552110895 1 udp 2113937151 aaf1730f-3289-4c39-a3e5-ac9493983aec.local 40163 typ host",
  "",
];
const HIDDEN_SIX = [
  "candidate:1542535583 1 udp 2113942271 14b48058-9b87-4684-8ff6-64a38fdfee34.local 40476 typ host",
  "",
];
const hidden = (port, url = ONE, foundation = 3270417211, address = "198.51.100.7") => [
  `candidate:${foundation} 1 udp 1677729535 ${address} ${port} typ srflx raddr 0.0.0.0 rport 0`,
  url,
];
// Firefox: short foundations, one for each server.
const FIREFOX_HOST = "candidate:0 1 UDP 2122252543 7b2d5a5c-27a8-4e2c-9a0e-8f1e1b6a3c11.local 53133 typ host".replace(
  "UDP",
  "udp",
);
const firefox = (foundation, port, raddr = "0.0.0.0", rport = 0) =>
  `candidate:${foundation} 1 udp 1686052863 198.51.100.7 ${port} typ srflx raddr ${raddr} rport ${rport}`;

test("one mapping for two servers is endpoint-independent, whatever the browser hides", () => {
  assert.equal(nat([CHROMIUM_HOST, CHROMIUM_SIX, CHROMIUM_TCP, chromium(40000)]), "eim");
  assert.equal(nat([HIDDEN_HOST, HIDDEN_SIX, hidden(40000)]), "eim");
  assert.equal(nat([HIDDEN_HOST, hidden(40000, undefined)]), "eim", "Safari");
  assert.equal(nat([FIREFOX_HOST, firefox(1, 40000)]), "eim");
});

test("two mappings of one socket are address and port dependent, also before gathering is over", () => {
  assert.equal(nat([CHROMIUM_HOST, chromium(40001), chromium(40002, TWO)], { complete: false }), "apdm");
  assert.equal(
    nat([HIDDEN_HOST, HIDDEN_SIX, hidden(40001), hidden(40002, TWO)]),
    "apdm",
    "one foundation: one address",
  );
  assert.equal(nat([FIREFOX_HOST, firefox(1, 40001), firefox(2, 40002)]), "apdm");
  assert.equal(nat([firefox(1, 40001, "192.168.1.2", 5000), firefox(2, 40002, "192.168.1.2", 5000)]), "apdm");
  assert.equal(
    nat([HIDDEN_HOST, hidden(4000), hidden(4000, TWO, 3270417211, "198.51.100.8")]),
    "apdm",
    "other addresses",
  );
});

test("what one server alone has seen says nothing", () => {
  assert.equal(nat([CHROMIUM_HOST, chromium(40003)], { complete: false }), "unknown", "the other is silent");
  assert.equal(nat([HIDDEN_HOST, hidden(40003)], { complete: false }), "unknown");
  const failed = [{ url: TWO, address: "192.168.1.x" }];
  assert.equal(nat([CHROMIUM_HOST, chromium(40003)], { errors: failed }), "unknown", "it cannot be reached");
  assert.equal(
    nat([CHROMIUM_HOST, chromium(40003)], { errors: [{ url: "stun:two.example", address: null }] }),
    "unknown",
  );
  assert.equal(nat([chromium(40003), chromium(40003, `${ONE}?transport=udp`)], { complete: false }), "unknown");
});

test("two that are seen to agree are enough, whatever the third does", () => {
  const servers = [...SERVERS, "three.example:3478"];
  const errors = [{ url: "stun:three.example", address: "192.168.1.x" }];
  assert.equal(nat([CHROMIUM_HOST, chromium(40000)], { servers, errors }), "eim");
  assert.equal(nat([chromium(40000), chromium(40000, TWO)], { servers, complete: false }), "eim");
});

test("silence is never a blocked network", () => {
  for (const lines of [[], [CHROMIUM_HOST, CHROMIUM_SIX], [HIDDEN_HOST], [FIREFOX_HOST]]) {
    assert.equal(nat(lines, { complete: false }), "unknown");
    assert.equal(nat(lines, { errors: [ONE, TWO].map((url) => ({ url, address: null })) }), "unknown");
    assert.equal(nat(lines), "unknown");
  }
});

test("who is seen under its own public address is in the open", () => {
  const host = "candidate:1 1 udp 2113937151 203.0.113.9 50000 typ host";
  const own = "candidate:2 1 udp 1677729535 203.0.113.9 50000 typ srflx raddr 203.0.113.9 rport 50000";
  assert.equal(nat([host]), "open");
  assert.equal(nat([host, own]), "open");
  assert.equal(nat([host], { complete: false }), "unknown", "nobody has answered yet");
  assert.equal(nat([host], { errors: [{ url: TWO, address: "203.0.113.x" }] }), "unknown");
  assert.equal(nat(["candidate:1 1 udp 2113942271 [2001:db8::9] 50000 typ host"]), "open");
  for (const inside of [
    "10.1.2.3",
    "100.64.0.1",
    "169.254.0.1",
    "172.31.0.1",
    "192.168.1.2",
    "127.0.0.1",
    "[fe80::1]",
  ]) {
    assert.equal(nat([`candidate:1 1 udp 2113937151 ${inside} 50000 typ host`]), "unknown", inside);
  }
});

test("IPv4 decides, and what an IPv6 socket cannot reach does not matter", () => {
  const six = "candidate:5 1 udp 2113942271 2001:db8::9 50000 typ host";
  const errors = [ONE, TWO].map((url) => ({ url, address: "[2001:db8:0:x:x:x:x:x]" }));
  assert.equal(nat([CHROMIUM_HOST, six, chromium(40000)], { errors }), "eim");
  assert.equal(nat([CHROMIUM_HOST, six]), "unknown", "nothing is known of IPv4");
});

test("of several ways out the best counts, and those that cannot be told apart are not compared", () => {
  const other = (port) => `candidate:9 1 udp 1677729535 192.0.2.77 ${port} typ srflx raddr 10.8.0.2 rport 6000`;
  assert.equal(nat([chromium(40001), chromium(40002, TWO), other(6000)]), "eim");
  const two = [HIDDEN_HOST, HIDDEN_SIX, hidden(40001), hidden(40002, TWO, 99)];
  assert.equal(nat(two), "unknown", "perhaps one mapping for each of two sockets");
});

test("servers are counted by host and port", () => {
  const urls = (...servers) => stunUrls({ iceServers: servers.map((urls) => ({ urls })) });
  assert.deepEqual(urls("stun:a.example", ["STUN:A.example:3478", "turn:a.example", "stuns:b.example"]), [
    "stun:a.example",
  ]);
  assert.deepEqual(urls(["stun:a.example:1", "stun:a.example:2", "stun:[2001:db8::1]"]).length, 3);
  assert.deepEqual(stunUrls({}), []);
  assert.equal(serverOf("stun:[2001:db8::1]:99"), "[2001:db8::1]:99");
  assert.equal(serverOf("nonsense"), undefined);
});
