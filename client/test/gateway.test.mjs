import assert from "node:assert/strict";
import { test } from "node:test";
import { Gateway } from "../dist/gateway.js";

/** A socket whose other end is the test: it answers connects and calls of the Centrifuge JSON protocol. */
class Server {
  connects = [];
  calls = [];
  sockets = [];
  peer = "p1";
  recovered = true;
  missed = [];
  refuse = undefined;
  inboxes = true;

  get Socket() {
    const server = this;
    return class {
      constructor() {
        server.sockets.push(this);
        setTimeout(() => this.onopen(), 0);
      }
      send(text) {
        for (const line of text.split("\n")) server.heard(this, JSON.parse(line));
      }
      close() {}
    };
  }

  heard(socket, { id, connect, rpc, publish }) {
    if (connect) {
      this.connects.push(connect);
      const { code, reason } = this.refuse ?? {};
      if (code) setTimeout(() => socket.onclose({ code, reason }), 0);
      else this.reply(socket, { id, connect: this.welcome(connect) });
    }
    if (rpc) {
      this.calls.push(rpc);
      const bad = rpc.method === "bad";
      this.reply(
        socket,
        bad ? { id, error: { code: 403, message: "no" } } : { id, rpc: { data: { did: rpc.method } } },
      );
    }
    if (publish) {
      this.calls.push(publish);
      const bad = publish.channel === "inbox:bad";
      this.reply(socket, bad ? { id, error: { code: 103, message: "permission denied" } } : { id, publish: {} });
    }
  }

  welcome({ subs }) {
    const recovering = subs?.[`inbox:${this.peer}`] !== undefined && {
      was_recovering: true,
      recovered: this.recovered,
      publications: this.missed,
    };
    const inbox = { recoverable: true, epoch: "e", offset: 7, ...recovering };
    const data = { v: 1, peer: this.peer, resume: `resume ${this.connects.length}`, policy: {}, ice_servers: [] };
    return { client: "c", version: "x", data, subs: this.inboxes ? { [`inbox:${this.peer}`]: inbox } : {} };
  }

  reply(socket, message) {
    setTimeout(() => socket.onmessage({ data: JSON.stringify(message) }), 0);
  }
}

const publication = (seq) => ({
  offset: 8 + seq,
  data: { signals: [{ from: "a", swarm: "s", session: "x", seq, ticket: "t", bye: { reason: "" } }] },
});

/** A gateway to such a server, with what it told, and a way to wait for the next thing it tells. */
function play(server, token = () => "token", onSignals = () => {}) {
  const told = [];
  let wake = () => {};
  const tell = (...what) => {
    told.push(what);
    wake();
  };
  const gateway = new Gateway(
    { url: "ws://test/", token, first: { swarm: "s" } },
    {
      up: ({ peer }, recovered) => tell("up", peer, recovered),
      down: () => tell("down"),
      signals: (signals) => {
        onSignals(signals);
        tell("signals", ...signals.map(({ seq }) => seq));
      },
      trouble: ({ code }) => tell("trouble", code),
      refused: ({ code, message }) => tell("refused", code, message),
    },
    { websocket: server.Socket, minReconnectDelay: 1, maxReconnectDelay: 2 },
  );
  const until = async (name, times = 1) => {
    while (told.filter(([one]) => one === name).length < times) await new Promise((resolve) => (wake = resolve));
  };
  gateway.start();
  return { gateway, told, until };
}

test("the first connect asks for peers; a reconnect brings a new token and the newest resume token, and asks for the policy", async () => {
  const server = new Server();
  let tokens = 0;
  const { gateway, told, until } = play(server, async () => `token ${++tokens}`);
  await until("up");
  server.missed = [publication(1), publication(2)];
  server.sockets[0].onclose({ code: 1006 });
  await until("signals", 2);
  server.sockets[1].onclose({ code: 1006 });
  await until("up", 3);
  gateway.stop();
  assert.deepEqual(
    server.connects.map(({ data }) => data),
    [
      { v: 1, token: "token 1", first: { swarm: "s" } },
      { v: 1, token: "token 2", resume: "resume 1", first: { swarm: "s", want: 0 } },
      { v: 1, token: "token 3", resume: "resume 2", first: { swarm: "s", want: 0 } },
    ],
  );
  assert.deepEqual(told.slice(0, 5), [
    ["up", "p1", false],
    ["down"],
    ["up", "p1", true],
    ["signals", 1],
    ["signals", 2],
  ]);
});

test("what could not be recovered is said", async () => {
  const server = new Server();
  const { gateway, told, until } = play(server);
  await until("up");
  server.recovered = false;
  server.sockets[0].onclose({ code: 1006 });
  await until("up", 2);
  gateway.stop();
  assert.deepEqual(told.at(-1), ["up", "p1", false]);
});

test("another id means another inbox: what comes for the old one is not heard", async () => {
  const server = new Server();
  const { gateway, told, until } = play(server);
  await until("up");
  server.peer = "p2";
  server.sockets[0].onclose({ code: 1006 });
  await until("up", 2);
  const push = (peer, seq) =>
    server.reply(server.sockets[1], { push: { channel: `inbox:${peer}`, pub: publication(seq) } });
  push("p1", 1);
  push("p2", 2);
  await until("signals");
  gateway.stop();
  assert.deepEqual(told.slice(2), [
    ["up", "p2", false],
    ["signals", 2],
  ]);
});

test("a refusal is final, and told with its code", async () => {
  const server = new Server();
  server.refuse = { code: 4501, reason: "token expired" };
  const { told, until } = play(server);
  await until("refused");
  assert.deepEqual(told, [["refused", 4501, "token expired"]]);
  assert.equal(server.connects.length, 1);
});

test("a server that is overloaded is tried again", async () => {
  const server = new Server();
  server.refuse = { code: 4001, reason: "come back" };
  const { gateway, told, until } = play(server);
  while (server.connects.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  server.refuse = undefined;
  await until("up");
  gateway.stop();
  assert.deepEqual(told.at(-1), ["up", "p1", false]);
});

test("a token that cannot be had is told once per attempt, and tried again", async () => {
  const server = new Server();
  let attempts = 0;
  const { gateway, told, until } = play(server, () => {
    if (++attempts === 1) throw new Error("not now");
    return "token";
  });
  await until("up");
  gateway.stop();
  assert.deepEqual(told, [
    ["trouble", 3],
    ["up", "p1", false],
  ]);
});

test("a server without an inbox for us is not one of ours", async () => {
  const server = new Server();
  server.inboxes = false;
  const { told, until } = play(server);
  await until("refused");
  assert.equal(told[0][1], 5);
});

test("a call gives the data of its reply, or the server's error; after the end there are no calls", async () => {
  const server = new Server();
  const { gateway, until } = play(server);
  await until("up");
  assert.deepEqual(await gateway.call("join", { swarm: "s" }), { did: "join" });
  assert.deepEqual(server.calls, [{ method: "join", data: { swarm: "s" } }]);
  await assert.rejects(gateway.call("bad", {}), { name: "StarlingError", code: 403, temporary: false });
  gateway.stop();
  await assert.rejects(gateway.call("join", {}), { code: 6 });
});

test("a signal is published to its receiver's inbox; the gateway's error comes with its code", async () => {
  const server = new Server();
  const { gateway, until } = play(server);
  await until("up");
  await gateway.publish("a", { swarm: "s", seq: 0 });
  assert.deepEqual(server.calls, [{ channel: "inbox:a", data: { swarm: "s", seq: 0 } }]);
  await assert.rejects(gateway.publish("bad", {}), { name: "StarlingError", code: 103, temporary: false });
  const lost = gateway.publish("a", {});
  server.sockets[0].onclose({ code: 1006 });
  await assert.rejects(lost, { code: 4, temporary: true }, "as a call that is lost");
  gateway.stop();
  await assert.rejects(gateway.publish("a", {}), { code: 6 });
});

test("what a peer published is from whom its data says, whatever the gateway says of the sender", async () => {
  const server = new Server();
  const heard = [];
  const { gateway, until } = play(server, undefined, (signals) => heard.push(...signals));
  await until("up");
  const pub = { ...publication(1), info: { user: "somebody", client: "c", conn_info: { from: "somebody" } } };
  server.reply(server.sockets[0], { push: { channel: "inbox:p1", pub } });
  await until("signals");
  gateway.stop();
  assert.deepEqual(heard, pub.data.signals);
});
