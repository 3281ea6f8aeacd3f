// What the page we run in tells us: when it goes away, whether it is seen, what network it is on, and how full the battery
// is. Elsewhere (a worker, a test) there is nothing to hear, and that is fine.
import type { Net } from "./types.js";

/** Calls back when the page goes away or comes back from the back/forward cache. Returns how to stop listening. */
export function onPage(listener: { hide(persisted: boolean): void; show(): void }): () => void {
  if (typeof globalThis.addEventListener !== "function") return () => {};
  const listening = new AbortController();
  const on = (name: "pagehide" | "pageshow", handle: (persisted: boolean) => void): void =>
    globalThis.addEventListener(name, (event: Event) => handle("persisted" in event && event.persisted === true), {
      signal: listening.signal,
    });
  on("pagehide", (persisted) => listener.hide(persisted));
  on("pageshow", (persisted) => {
    if (persisted) listener.show();
  });
  return () => listening.abort();
}

/** Whether nobody sees the page: another tab is in front, or the window is away. */
export function isHidden(document: unknown = globalThis.document): boolean {
  return fieldOf(document, "visibilityState") === "hidden";
}

/** Calls back when the network becomes another, where the browser says so. Returns how to stop listening. */
export function onNetworkChange(changed: () => void, navigator: unknown = globalThis.navigator): () => void {
  const connection = fieldOf(navigator, "connection");
  if (!(connection instanceof EventTarget)) return () => {};
  connection.addEventListener("change", changed);
  return () => connection.removeEventListener("change", changed);
}

/** From here on downwards a battery that is not charging is for its owner alone. */
const LOW_BATTERY = 0.15;

/** The battery, where the browser shows it (the Battery Status API); elsewhere it is never low. */
export class Battery {
  #manager: unknown;

  constructor(navigator: unknown = globalThis.navigator) {
    void this.#open(navigator);
  }

  get isLow(): boolean {
    const level = fieldOf(this.#manager, "level");
    return typeof level === "number" && level <= LOW_BATTERY && fieldOf(this.#manager, "charging") === false;
  }

  async #open(navigator: unknown): Promise<void> {
    const open = fieldOf(navigator, "getBattery");
    if (typeof open !== "function") return;
    try {
      // One object, whose fields are always what they are now.
      this.#manager = await open.call(navigator);
    } catch {
      // The page is not allowed to know.
    }
  }
}

/** Connection type and save-data, where the browser has the Network Information API. */
export function networkOf(navigator: unknown = globalThis.navigator): Net {
  const connection = fieldOf(navigator, "connection");
  const type = fieldOf(connection, "type");
  const saveData = fieldOf(connection, "saveData");
  return {
    ...(typeof type === "string" && { type }),
    ...(typeof saveData === "boolean" && { save_data: saveData }),
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}
