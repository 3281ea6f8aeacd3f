// Options are checked before anything is opened, so that a mistake shows where it was made.
import { Code, StarlingError } from "./errors.js";
import type { JoinOptions } from "./types.js";

/** The options as they are; throws a `StarlingError` that names the one to mend. */
export function checked(options: JoinOptions): JoinOptions {
  const { url, token, getToken, swarm } = options;
  if (!/^wss?:\/\//.test(url)) throw wrong("url must begin with wss:// or ws://");
  if ((token === undefined) === (getToken === undefined)) throw wrong("give either token or getToken");
  if (!/^[A-Za-z0-9._~:/-]{1,128}$/.test(swarm)) throw wrong("swarm must be 1-128 characters of [A-Za-z0-9._~:/-]");
  return options;
}

function wrong(message: string): StarlingError {
  return new StarlingError(Code.options, message);
}
