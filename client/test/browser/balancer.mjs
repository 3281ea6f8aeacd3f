// A real HAProxy in front of the gateway, through which tabs of one machine come from several addresses: one port for
// each, which overwrites the header that the backend trusts, as a balancer in production does.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Balancer {
  #child;
  #folder;
  #ports;

  /** One port for each address, before the gateway at this port. */
  static async start(addresses, gateway) {
    // Another process may take a port before HAProxy does.
    for (let attempt = 0; attempt < 5; attempt++) {
      const balancer = new Balancer();
      if (await balancer.#isUp(addresses, gateway)) return balancer;
      await balancer.stop();
    }
    throw new Error("HAProxy does not start");
  }

  /** Where clients come from this address. */
  url(address) {
    return `ws://127.0.0.1:${this.#ports.get(address)}/connection/websocket`;
  }

  async #isUp(addresses, gateway) {
    const free = await freePorts(addresses.length);
    this.#ports = new Map(addresses.map((address, n) => [address, free[n]]));
    this.#folder = mkdtempSync(join(tmpdir(), "starling-haproxy-"));
    const file = join(this.#folder, "haproxy.cfg");
    writeFileSync(file, configuration(this.#ports, gateway));
    this.#child = spawn("haproxy", ["-db", "-f", file], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    this.#child.stderr.on("data", (data) => {
      said += data;
    });
    const ended = once(this.#child, "exit").then(() => false);
    const listening = Promise.all(free.map((port) => heard(port, this.#child))).then(() => true);
    const isUp = await Promise.race([listening, ended]);
    if (!isUp) console.error(said);
    return isUp;
  }

  async stop() {
    if (this.#child?.exitCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "exit");
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function configuration(ports, gateway) {
  const frontends = [...ports].map(
    ([address, port], n) => `
frontend network_${n}
    bind 127.0.0.1:${port}
    http-request set-header X-Real-Ip ${address}
    default_backend gateway
`,
  );
  return `defaults
    mode http
    timeout connect 2s
    timeout client 1m
    timeout server 1m
    timeout tunnel 1h
${frontends.join("")}
backend gateway
    server centrifugo 127.0.0.1:${gateway}
`;
}

/** All bound at once, so that no two are the same. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Resolves when somebody listens at this port, or the child has ended. */
async function heard(port, child) {
  while (child.exitCode === null) {
    const socket = connect(port, "127.0.0.1");
    const isThere = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
