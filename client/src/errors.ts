// The one error class of this package, and how errors of the connection become it.

/** Codes of problems on this side of the wire; the server's own codes are above 99. */
export const Code = {
  /** The options contradict each other or lack something. */
  options: 1,
  /** `signal` aborted the join. */
  aborted: 2,
  /** `getToken` failed. */
  token: 3,
  /** The connection is away or a call had no reply in time. */
  connection: 4,
  /** The server said something that this client does not understand. */
  protocol: 5,
  /** The swarm was left before the call was done. */
  left: 6,
} as const;

/**
 * What went wrong. `code` is one of the server's (400, 401, 403, 404, 410, 413, 422, 429, 503; Centrifugo's own from 100;
 * disconnects 3500-3999 and 4500-4504), or one of {@link Code}.
 */
export class StarlingError extends Error {
  override readonly name = "StarlingError";
  readonly code: number;
  /** Whether the same thing may well succeed later. */
  readonly temporary: boolean;

  constructor(code: number, message: string, temporary = false, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.temporary = temporary;
  }
}

/** Centrifugo's code for its own trouble; the method was fine, so it is worth another try. */
const CENTRIFUGO_INTERNAL = 100;

/** An older server's answer to a publication, and Centrifugo's where nobody may publish: 102, 103 and 108. */
const CANNOT_PUBLISH: readonly number[] = [404, 102, 103, 108];

/** Whether a publication failed because this server takes none, whatever it says. */
export function cannotPublish({ code }: StarlingError): boolean {
  return CANNOT_PUBLISH.includes(code);
}

/** What `centrifuge` rejects a call with. Its own codes are below 100: a timeout, a closed connection, and so on. */
export function fromCall(reason: unknown): StarlingError {
  if (reason instanceof StarlingError) return reason;
  const { code, message, temporary } = partsOf(reason);
  if (code < CENTRIFUGO_INTERNAL) return new StarlingError(Code.connection, message, true, { cause: reason });
  return new StarlingError(code, message, temporary ?? code === CENTRIFUGO_INTERNAL);
}

function partsOf(reason: unknown): { code: number; message: string; temporary?: boolean } {
  if (typeof reason !== "object" || reason === null) return { code: 0, message: String(reason) };
  const code = "code" in reason && typeof reason.code === "number" ? reason.code : 0;
  const message = "message" in reason && typeof reason.message === "string" ? reason.message : "no message";
  const parts = { code, message };
  return "temporary" in reason && typeof reason.temporary === "boolean"
    ? { ...parts, temporary: reason.temporary }
    : parts;
}
