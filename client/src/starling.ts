// `Starling.join`: the one way in.
import { Swarm } from "./swarm.js";
import type { JoinOptions } from "./types.js";

/**
 * Joins a swarm, and resolves when the server has listed us in it. Links come as events, so listen right away:
 *
 * ```ts
 * const swarm = await Starling.join({ url, token, swarm: "movie/42/1080p" });
 * swarm.on("link", (link) => link.channel.send("hello"));
 * ```
 *
 * Rejects with a `StarlingError` when the server refuses for good, when `getToken` fails, or when `signal` aborts.
 * While the server cannot be reached it keeps trying.
 */
export function join(options: JoinOptions): Promise<Swarm> {
  return Swarm.open(options);
}
