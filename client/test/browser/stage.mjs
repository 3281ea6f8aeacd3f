// What browser tests and measurements stand on: `starling demo` with a real Centrifugo, and a real Chromium.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Otherwise a candidate is a name that the local network has to resolve, which a bare machine cannot.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];
/** Long enough for anything that happens at all. */
const PATIENCE_MS = 20_000;

function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const onPath = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = [process.env.CHROMIUM, ...onPath].find((path) => path && existsSync(path));
  if (!found) throw new Error("there is no Chromium: install Debian's package chromium, or name one with CHROMIUM");
  return found;
}

export function openBrowser() {
  return chromium.launch({ executablePath: findChromium(), args: FLAGS });
}

/** `starling demo` on five free ports. */
export class Demo {
  #child;
  #lines = [];
  #waiting = [];

  /** `settings` are variables of its environment, such as STARLING_RANKING__INTERVAL. */
  static async start(settings = {}) {
    // Five free ports in a row; another process may take one before the demo does.
    for (let attempt = 0; attempt < 5; attempt++) {
      const demo = new Demo(await freePorts(), settings);
      if (await demo.#isUp()) return demo;
    }
    throw new Error("the demo does not start");
  }

  constructor(port, settings) {
    this.gateway = port + 1;
    this.url = `http://127.0.0.1:${port}/`;
    /** Something without scripts, of the same origin. What a test makes up may not connect to this machine. */
    this.plain = `${this.url}demo.json`;
    this.admin = `http://127.0.0.1:${port + 4}`;
    const binary = process.env.STARLING ?? "target/debug/starling";
    const env = { ...process.env, ...settings };
    this.#child = spawn(binary, ["demo", "--port", String(port)], {
      cwd: root,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.#lines.push(line);
        this.#waiting = this.#waiting.filter(({ words, resolve }) => !line.includes(words) || resolve(line));
      });
    }
  }

  async #isUp() {
    const up = await Promise.race([this.line("Page "), once(this.#child, "exit")]);
    if (typeof up !== "string") console.error(this.log());
    return typeof up === "string";
  }

  /** Whom the backend offers to others. */
  async listed() {
    const { members } = await (await fetch(`${this.admin}/swarms/demo`)).json();
    return members.map(({ peer }) => peer).sort();
  }

  /** What the backend remembers of a peer, once it is so. */
  async known(peer, isSo) {
    for (;;) {
      const known = await (await fetch(`${this.admin}/swarms/demo/peers/${peer}`)).json();
      if (isSo(known)) return known;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Everything that it printed. */
  log() {
    return this.#lines.join("\n");
  }

  /** The next line that holds these words, or one that came already. */
  line(words) {
    const there = this.#lines.find((line) => line.includes(words));
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve) => {
      this.#waiting.push({ words, resolve });
    });
  }

  /** Kills its Centrifugo, as a crash would. */
  killGateway() {
    process.kill(childOf(this.#child.pid), "SIGKILL");
  }

  /** Ends it as Ctrl-C would; resolves with the exit code. */
  async stop() {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    this.#child.kill("SIGINT");
    const [code] = await once(this.#child, "exit");
    return code;
  }
}

/** The one process whose parent this is. */
function childOf(parent) {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const child = pids.find((pid) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")[1] === String(parent);
    } catch {
      return false; // it ended while we looked
    }
  });
  if (child === undefined) throw new Error(`process ${parent} has no child`);
  return Number(child);
}

async function freePorts() {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await Promise.all([0, 1, 2, 3, 4].map((n) => isFree(base + n)));
    if (free.every(Boolean)) return base;
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** A tab, what goes wrong in its page, and what it says to the gateway and hears from it. */
async function newTab(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const errors = [];
  const commands = [];
  const replies = [];
  const sent = new EventTarget();
  const parsed = ({ payload }) => `${payload}`.split("\n").map((line) => JSON.parse(line));
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("websocket", (socket) => {
    socket.on("framesent", (frame) => {
      commands.push(...parsed(frame));
      sent.dispatchEvent(new Event("command"));
    });
    socket.on("framereceived", (frame) => replies.push(...parsed(frame)));
  });
  return {
    page,
    errors,
    commands,
    replies,
    /** The first call of this method that is as wanted: its data. */
    called: async (method, isWanted) => {
      for (;;) {
        const calls = commands.flatMap(({ rpc }) => (rpc?.method === method ? [rpc.data] : []));
        const wanted = calls.find(isWanted);
        if (wanted !== undefined) return wanted;
        await once(sent, "command");
      }
    },
  };
}

/** A tab with nothing in it, in which the library joins with these options beside a fresh token. */
export async function openBareTab(context, demo, options) {
  const tab = await newTab(context);
  const { page } = tab;
  await page.goto(demo.plain);
  await page.addScriptTag({ content: await library() });
  await page.evaluate(async (given) => {
    const getToken = async () => (await (await fetch(`/token?swarm=${given.swarm}`)).json()).token;
    window.swarm = await window.library.Starling.join({ ...given, getToken });
  }, options);
  return { ...tab, peer: () => page.evaluate(() => window.swarm.peer) };
}

/** What an application would import, as a script that sets `window.library`. */
async function library() {
  const entryPoints = [join(root, "client/src/index.ts")];
  const options = { bundle: true, write: false, format: "iife", globalName: "library", target: "es2022" };
  const { outputFiles } = await build({ entryPoints, ...options, logLevel: "warning" });
  return outputFiles[0].text;
}

/** A tab with the demo page in it. */
export async function openTab(context, url) {
  const { called, ...tab } = await newTab(context);
  const { page } = tab;
  await page.goto(url);
  await page.waitForFunction(() => window.starling?.swarm?.state === "joined");
  return {
    ...tab,
    peer: () => page.evaluate(() => window.starling.swarm.peer),
    swarmSize: () =>
      page.evaluate(async () => {
        await window.starling.swarm.refresh();
        return window.starling.swarm.size;
      }),
    /** The first report that is as wanted. */
    reported: (isWanted) => called("report", isWanted),
    /** Resolves once it is linked with exactly these. */
    linkedWith: async (peers) => {
      const expected = [...peers].sort();
      await page.waitForFunction((ids) => window.starling.links().sort().join() === ids.join(), expected);
    },
  };
}
