// The rules of signaling as plain functions: whose offer stands, and what an error about a signal means for its attempt.
import { Code } from "./errors.js";
import { jitter, type Random } from "./timers.js";

/** When two peers offer to each other at once, the offer of the smaller id stands. Both sides must agree on this. */
export function theirOfferStands(own: string, their: string): boolean {
  return their < own;
}

/** How often an offer or answer is sent again because the server could not take it just then. */
const MOST_RETRIES = 2;
const FIRST_RETRY_MS = 500;
/** A server that asks for more patience than this is not worth an attempt's time. */
const MOST_RETRY_MS = 5000;

/** What an error about an offer or answer means: another try, or the end of the attempt. */
export function verdict(code: number, retries: number): "again" | "gone" | "refused" | "expired" {
  const temporary = code === 429 || code === 503 || code === 100 || code === Code.connection;
  if (temporary) return retries < MOST_RETRIES ? "again" : "expired";
  return code === 410 ? "gone" : "refused";
}

/** When to try again: when the server says, or later each time. Never earlier than it says. */
export function retryMs(retries: number, asked: number | undefined, random: Random = Math.random): number {
  const ms = asked ?? FIRST_RETRY_MS * 2 ** retries;
  return Math.min(ms, MOST_RETRY_MS) * (1 + 0.3 * random());
}

/** For calls that are repeated until they succeed: doubling, with a ceiling and full-range jitter. */
export function backoffMs(failures: number, random: Random = Math.random): number {
  return jitter(Math.min(1000 * 2 ** failures, 15_000), 0.3, random);
}
