// What has to be done to the text of descriptions and candidates. Plain functions on strings.

const CANDIDATE_LINE = "a=candidate:";

/** The candidate with its `ufrag`, which the protocol requires and not every browser writes. */
export function withUfrag(candidate: string, ufrag: string | null | undefined): string {
  return ufrag && ufragOf(candidate) === undefined ? `${candidate} ufrag ${ufrag}` : candidate;
}

/** The `ufrag` that a candidate names. */
export function ufragOf(candidate: string): string | undefined {
  return / ufrag (\S+)/.exec(candidate)?.[1];
}

/** The `ufrag` of a description with one section. */
export function sdpUfrag(sdp: string): string | undefined {
  return /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1];
}

/** A description that fits, and the candidates that had to be left out of it. */
export interface Fitted {
  readonly sdp: string;
  readonly left: readonly string[];
}

/** Takes candidates out of a description, the last first, until it has at most `limit` bytes. They can follow it. */
export function fitSdp(sdp: string, limit: number): Fitted {
  const lines = sdp.split("\r\n");
  const left: string[] = [];
  while (byteLength(lines.join("\r\n")) > limit) {
    const at = lines.findLastIndex((line) => line.startsWith(CANDIDATE_LINE));
    if (at < 0) break;
    for (const line of lines.splice(at, 1)) left.unshift(line.slice("a=".length));
  }
  return { sdp: lines.join("\r\n"), left };
}

export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** A reason as the protocol takes it: at most `limit` characters, and none that are not text. */
export function fitReason(reason: string, limit: number): string {
  return [...reason.replace(/[\p{Cc}\p{Cs}]/gu, " ")].slice(0, limit).join("");
}
