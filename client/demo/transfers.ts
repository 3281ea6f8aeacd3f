// The list of files on their way: progress, hash, cancel, download.

import { element } from "./dom.js";
import type { Transfer } from "./exchange.js";
import { bytes, hue, short } from "./words.js";

/** Received files are kept until their row goes, so there are only so many rows. */
const LIMIT = 12;

interface Row {
  transfer: Transfer;
  item: HTMLLIElement;
  bar: HTMLProgressElement;
  status: HTMLElement;
  hash: HTMLElement;
  actions: HTMLElement;
  url?: string;
}

export class Transfers {
  readonly #list: HTMLUListElement;
  readonly #rows = new Map<string, Row>();

  constructor(list: HTMLUListElement) {
    this.#list = list;
  }

  /** Shows the transfer as it is now. */
  update(transfer: Transfer): void {
    // An id is the sender's choice: two peers might choose the same.
    const key = `${transfer.direction} ${transfer.peer} ${transfer.id}`;
    const row = this.#rows.get(key) ?? this.#add(key, transfer);
    const over = transfer.state === "done" || transfer.state === "failed";
    row.item.setAttribute("data-state", transfer.state);
    row.bar.value = transfer.size === 0 ? (over ? 1 : 0) : transfer.done / transfer.size;
    row.bar.hidden = over;
    row.status.textContent = status(transfer);
    if (transfer.sha256 !== undefined) {
      row.hash.textContent = `SHA-256 ${transfer.sha256.slice(0, 16)}…${transfer.sha256.slice(-8)}`;
      row.hash.title = transfer.sha256;
    }
    if (over) row.actions.querySelector("button")?.remove();
    if (transfer.file !== undefined && row.url === undefined) {
      row.url = URL.createObjectURL(transfer.file);
      const save = element("a", "button small", "Save");
      save.href = row.url;
      save.download = transfer.name;
      save.setAttribute("aria-label", `Save ${transfer.name}`);
      row.actions.append(save);
    }
  }

  #add(key: string, transfer: Transfer): Row {
    const item = element("li", "transfer");
    item.style.setProperty("--hue", String(hue(transfer.peer)));
    const up = transfer.direction === "up";
    const arrow = element("span", "transfer-arrow", up ? "↑" : "↓");
    arrow.setAttribute("aria-hidden", "true");
    const name = element("span", "transfer-name", transfer.name);
    name.title = transfer.name;
    const status = element("span", "transfer-status");
    const hash = element("span", "transfer-hash");
    const bar = element("progress", "transfer-bar");
    bar.max = 1;
    bar.setAttribute("aria-label", `${up ? "Sending" : "Receiving"} ${transfer.name}`);
    const actions = element("span", "transfer-actions");
    const cancel = element("button", "button small", "Cancel");
    cancel.type = "button";
    cancel.setAttribute("aria-label", `Cancel ${transfer.name}`);
    cancel.addEventListener("click", () => transfer.cancel());
    actions.append(cancel);
    item.append(arrow, name, actions, status, bar, hash);
    this.#list.prepend(item);
    const row: Row = { transfer, item, bar, status, hash, actions };
    this.#rows.set(key, row);
    this.#forget();
    return row;
  }

  /** Drops the oldest rows that are over. */
  #forget(): void {
    for (const [key, { transfer, item, url }] of this.#rows) {
      if (this.#rows.size <= LIMIT) return;
      if (transfer.state !== "done" && transfer.state !== "failed") continue;
      if (url !== undefined) URL.revokeObjectURL(url);
      item.remove();
      this.#rows.delete(key);
    }
  }
}

function status({ direction, peer, size, done, state, reason }: Transfer): string {
  const who = `${direction === "up" ? "to" : "from"} ${short(peer)}`;
  switch (state) {
    case "waiting":
      return `${who} · ${bytes(size)} · waiting its turn`;
    case "moving":
      return `${who} · ${bytes(done)} of ${bytes(size)}`;
    case "checking":
      return `${who} · ${bytes(size)} · checking`;
    case "done":
      return `${who} · ${bytes(size)} · verified`;
    case "failed":
      return `${who} · ${reason ?? "failed"}`;
  }
}
