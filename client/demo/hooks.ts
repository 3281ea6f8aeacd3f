// What the browser tests see of this page, as `window.starling`. Nothing here is needed by people.

import type { Swarm } from "../src/index.js";

export interface Hooks {
  swarm: Swarm | undefined;
  /** From the start of the page's navigation to the first open data channel. */
  firstLinkMs: number | undefined;
  /** Why we are not in the swarm, when it was not our own wish. */
  rejected: string | undefined;
  readonly received: Received[];
  /** Ids of the peers that are linked now. */
  links(): string[];
  /** Resolves when the receiver has confirmed the hash. */
  sendBytes(peer: string, name: string, content: Uint8Array<ArrayBuffer>): Promise<{ sha256: string }>;
}

export interface Received {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
  readonly ok: boolean;
  readonly from: string;
}

declare global {
  interface Window {
    starling: Hooks;
  }
}
