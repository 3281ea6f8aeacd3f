// The whole line: real tabs, real Centrifugo, the real backend. One story, told in order.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Demo, openBrowser, openTab } from "./stage.mjs";

const sessionsOfLinks = () => [...window.starling.swarm.links.values()].map(({ session }) => session);

// `make picture` points it at the README's picture; otherwise it lands beside what was built.
const picture = process.env.PICTURE ?? fileURLToPath(new URL("../../dist/picture.png", import.meta.url));

describe("tabs of one swarm", { timeout: 120_000 }, () => {
  let demo;
  let browser;
  let context;
  const tabs = [];

  before(async () => {
    demo = await Demo.start();
    browser = await openBrowser();
    context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  });

  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  async function allLinked() {
    const peers = await Promise.all(tabs.map((tab) => tab.peer()));
    await Promise.all(tabs.map((tab, n) => tab.linkedWith(peers.filter((_, other) => other !== n))));
    return peers;
  }

  /** Closes a tab as a person would, and waits until the backend has heard of it. */
  async function close({ page, peer, errors }) {
    assert.deepEqual(errors, []);
    const id = await peer();
    await page.close({ runBeforeUnload: true });
    await demo.line(`${id.slice(0, 6)} left`);
  }

  test("every pair of three tabs opens a data channel", async () => {
    for (let n = 0; n < 3; n++) tabs.push(await openTab(context, demo.url));
    const peers = await allLinked();
    assert.equal(new Set(peers).size, 3);
    await demo.line("offer of");
    await demo.line("answer of");
  });

  test("an answer that goes out alone is published to the offerer's inbox, and makes a link", async () => {
    const peers = await Promise.all(tabs.map((tab) => tab.peer()));
    const links = (await Promise.all(tabs.map(({ page }) => page.evaluate(sessionsOfLinks)))).flat();
    const commands = tabs.flatMap((tab) => tab.commands);
    const published = commands.flatMap(({ publish }) => publish ?? []);
    assert.ok(published.some(({ data }) => data.answer && links.includes(data.session)));
    assert.ok(published.every(({ channel }) => peers.includes(channel.slice("inbox:".length))));
    const called = commands.flatMap(({ rpc }) => (rpc?.method === "signal" ? [rpc.data.signals] : []));
    const fallback = called.filter((signals) => signals.length === 1 && "answer" in signals[0]);
    assert.equal(fallback.length, 0, "the gateway took none");
  });

  test("a megabyte goes across, and its hash is right", async () => {
    const content = randomBytes(1 << 20);
    const sha256 = createHash("sha256").update(content).digest("hex");
    const [from, to] = tabs;
    const sent = await from.page.evaluate(
      async ([peer, base64]) => {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        return (await window.starling.sendBytes(peer, "megabyte.bin", bytes)).sha256;
      },
      [await to.peer(), content.toString("base64")],
    );
    const received = await to.page.evaluate(() => window.starling.received);
    assert.equal(sent, sha256);
    assert.deepEqual(received, [{ name: "megabyte.bin", size: 1 << 20, sha256, ok: true, from: await from.peer() }]);
  });

  test("who got the megabyte says so in its next report, and the backend counts it", async () => {
    const [from, to] = tabs;
    const sender = await from.peer();
    const { receipts, ...about } = await to.reported((report) => report.receipts.some(({ ok }) => ok === 1));
    const receipt = receipts.find(({ peer }) => peer === sender);
    assert.deepEqual([receipt.connected, receipt.candidate_type, receipt.bytes], [true, "host", 1 << 20]);
    assert.ok(receipt.busy_ms > 0 && about.down_bytes >= 1 << 20 && about.degree === 2, JSON.stringify(about));
    const known = await demo.known(sender, ({ evidence }) => evidence?.ok > 0.9);
    assert.ok(known.evidence.speed > 0 && known.evidence.reporters.connected >= 1, JSON.stringify(known));
  });

  test("three more come at once; the page looks as the README shows it", async () => {
    const company = await Promise.all([0, 1, 2].map(() => openTab(context, demo.url)));
    const regulars = tabs.length;
    tabs.push(...company);
    await allLinked();
    const { page } = tabs[1];
    await tabs[2].page.fill("#text", "Segment 1042 is here, who needs it?");
    await tabs[2].page.press("#text", "Enter");
    await page.getByText("Segment 1042 is here").first().waitFor();
    await page.locator("#map .node").nth(1).click();
    await page.getByText(/\d ms/).first().waitFor();
    await page.screenshot({ path: picture, animations: "disabled" });
    for (const tab of tabs.splice(regulars)) await close(tab);
    await allLinked();
  });

  test("a closed tab disappears from the others' lists", async () => {
    const closed = tabs.pop();
    assert.ok((await demo.listed()).includes(await closed.peer()));
    await close(closed);
    const left = await allLinked();
    assert.deepEqual(await demo.listed(), left.sort());
    for (const tab of tabs) assert.equal(await tab.swarmSize(), 2);
  });

  test("the gateway is killed and comes back: tabs keep their ids and links, and link to a fourth", async () => {
    const before = await allLinked();
    await Promise.all(
      tabs.map(({ page }) =>
        page.evaluate(() => {
          window.states = [];
          window.starling.swarm.on("state", (state) => window.states.push(state));
        }),
      ),
    );
    demo.killGateway();
    await demo.line("is started again");
    for (const { page } of tabs) {
      await page.waitForFunction(() => window.states.includes("connecting") && window.states.at(-1) === "joined");
    }
    assert.deepEqual(await allLinked(), before);
    tabs.push(await openTab(context, demo.url));
    await allLinked();
  });

  test("nothing went wrong in any page, and Ctrl-C ends everything with 0", async () => {
    for (const { errors } of tabs) assert.deepEqual(errors, []);
    assert.equal(await demo.stop(), 0);
    assert.match(demo.log(), /Stopping/);
  });
});
