// What happened, newest first.

import { element } from "./dom.js";
import { clock, hue } from "./words.js";

/** Enough to scroll back through, little enough to keep a page light that is open all day. */
const LIMIT = 200;

export type Mood = "plain" | "good" | "bad" | "said";

export class Log {
  readonly #list: HTMLOListElement;

  constructor(list: HTMLOListElement) {
    this.#list = list;
    list.tabIndex = 0; // it scrolls, so the keyboard must reach it
  }

  /** One line; with `peer`, in its colour. `said` is what a person wrote, set apart under the line. */
  add(text: string, { mood = "plain", peer, said }: { mood?: Mood; peer?: string; said?: string } = {}): void {
    const now = new Date();
    const row = element("li", `entry ${mood}`);
    const time = element("time", "entry-time", clock(now));
    time.dateTime = now.toISOString();
    const dot = element("span", "dot");
    if (peer === undefined) dot.classList.add("none");
    else dot.style.setProperty("--hue", String(hue(peer)));
    const words = element("div", "entry-words", text);
    if (said !== undefined) words.append(element("p", "entry-said", said));
    row.append(time, dot, words);
    this.#list.prepend(row);
    while (this.#list.childElementCount > LIMIT) this.#list.lastElementChild?.remove();
  }
}
