// Time from page load to an open data channel: ten times, a tab that comes to one that is there already.
// `make bench-links` runs it; nothing asserts a time.
import { Demo, openBrowser, openTab } from "../test/browser/stage.mjs";

const RUNS = 10;
const demo = await Demo.start();
const browser = await openBrowser();
try {
  const context = await browser.newContext();
  const times = [];
  for (let run = 1; run <= RUNS; run++) {
    // A swarm of its own each time, so that a tab that left is nobody's candidate.
    const url = `${demo.url}?swarm=run-${run}`;
    const first = await openTab(context, url);
    const second = await openTab(context, url);
    await second.linkedWith([await first.peer()]);
    const ms = await second.page.evaluate(() => window.starling.firstLinkMs);
    times.push(ms);
    console.error(`run ${run} of ${RUNS}: ${ms.toFixed(0)} ms`);
    await Promise.all([first.page.close(), second.page.close()]);
  }
  times.sort((a, b) => a - b);
  const median = (times[RUNS / 2 - 1] + times[RUNS / 2]) / 2;
  console.log(`page load to open data channel: median ${median.toFixed(0)} ms, worst ${times.at(-1).toFixed(0)} ms`);
} finally {
  await browser.close();
  await demo.stop();
}
