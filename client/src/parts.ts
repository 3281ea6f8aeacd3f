// What a swarm is built on, so that a test can put something else in its place.
import { type Calls, Gateway, type GatewayListener, type GatewayOptions } from "./gateway.js";
import type { Connect } from "./mesh.js";

/** The parts that a test replaces. @internal */
export interface Parts {
  readonly gateway: (options: GatewayOptions, listener: GatewayListener) => Calls;
  readonly connect: Connect;
}

/** Those of a browser. @internal */
export const BROWSER: Parts = {
  gateway: (options, listener) => new Gateway(options, listener),
  connect: (config) => new RTCPeerConnection(config),
};
