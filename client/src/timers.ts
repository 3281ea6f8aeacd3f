// Timers that belong to someone: cleared together, so that nothing fires after its owner is gone.

export type Random = () => number;

/** `ms` give or take a fraction of it, so that many clients do not do the same thing in step. */
export function jitter(ms: number, fraction: number, random: Random = Math.random): number {
  return ms * (1 + fraction * (2 * random() - 1));
}

export class Timers {
  readonly #running = new Set<ReturnType<typeof setTimeout>>();

  /** Returns the function that cancels it. */
  after(ms: number, task: () => void): () => void {
    const timer = setTimeout(() => {
      this.#running.delete(timer);
      task();
    }, ms);
    this.#running.add(timer);
    return () => {
      clearTimeout(timer);
      this.#running.delete(timer);
    };
  }

  clear(): void {
    for (const timer of this.#running) clearTimeout(timer);
    this.#running.clear();
  }
}
