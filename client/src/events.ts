// A typed emitter whose listeners cannot break the one who emits.

/** Called with what a listener threw. */
export type OnThrow = (thrown: unknown) => void;

export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #onThrow: OnThrow;

  constructor(onThrow: OnThrow = report) {
    this.#onThrow = onThrow;
  }

  /** Returns the function that takes the listener off again. The same function can be added twice. */
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => void): () => void {
    const entry = (value: Events[E]): void => listener(value);
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(entry));
    return () => listeners.delete(entry);
  }

  /** Calls every listener, whatever the others do. One that is added meanwhile waits for the next event. */
  emit<E extends keyof Events>(event: E, value: Events[E]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        (listener as (value: Events[E]) => void)(value);
      } catch (thrown) {
        this.#onThrow(thrown);
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}

/** An error in a listener is the application's: it is shown where uncaught errors are, and goes no further. */
function report(thrown: unknown): void {
  if (typeof reportError === "function") reportError(thrown);
  else console.error(thrown);
}
