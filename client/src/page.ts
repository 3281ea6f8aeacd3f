// What the page we run in tells us: when it goes away, whether it is seen, and what network it is on. Elsewhere (a worker, a test) there is
// nothing to hear, and that is fine.
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
