// What an application sees: `Starling.join`, the swarm and links that it gives, and their types.

export { Code, StarlingError } from "./errors.js";
export type { Link } from "./link.js";
export type { Near, Policy } from "./protocol.js";
export * as Starling from "./starling.js";
export type { Swarm } from "./swarm.js";
export type {
  Attempt,
  AttemptPhase,
  JoinOptions,
  Nat,
  Net,
  Peer,
  Role,
  SwarmEvents,
  SwarmState,
  Unlink,
} from "./types.js";
