// One link's conversation: text both ways, and files one after the other in each direction. No DOM.

import { clip, encode, FILE_LIMIT, type Frame, fileName, parse } from "./frames.js";
import { bytes as inWords } from "./words.js";

/** The largest message that every browser takes from every other without fragmentation trouble is 64 KiB. */
const CHUNK = 64 * 1024;
/** Stop filling the channel here, so that text between two chunks is not stuck behind seconds of file... */
const BUFFER_HIGH = 1024 * 1024;
/** ...and go on here, before it runs dry. */
const BUFFER_LOW = 256 * 1024;

export interface Transfer {
  readonly id: string;
  readonly peer: string;
  readonly direction: "up" | "down";
  readonly name: string;
  readonly size: number;
  done: number;
  state: "waiting" | "moving" | "checking" | "done" | "failed";
  /** Of the bytes on this side. */
  sha256?: string;
  /** The file, on the receiving side, once it is there and its hash is the one announced. */
  file?: Blob;
  /** Why it failed. */
  reason?: string;
  cancel(): void;
}

export interface Listener {
  text(peer: string, text: string): void;
  neighbours(peer: string, peers: string[]): void;
  /** A file came as a whole: right, or damaged. */
  received(bytes: number, ms: number, ok: boolean): void;
  /** Called for a new transfer and after every change to one. */
  transfer(transfer: Transfer): void;
}

interface Outgoing {
  transfer: Transfer;
  content: Uint8Array<ArrayBuffer>;
  sha256: Promise<string>;
  settle(error?: Error): void;
}

interface Incoming {
  transfer: Transfer;
  parts: ArrayBuffer[];
  readonly began: number;
}

export class Exchange {
  readonly #peer: string;
  readonly #channel: RTCDataChannel;
  readonly #listener: Listener;
  readonly #outgoing = new Map<string, Outgoing>();
  /** The last file's turn on the channel: the next one waits for it. */
  #turn: Promise<void> = Promise.resolve();
  #incoming: Incoming | undefined;

  constructor(peer: string, channel: RTCDataChannel, listener: Listener) {
    this.#peer = peer;
    this.#channel = channel;
    this.#listener = listener;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = BUFFER_LOW;
    channel.addEventListener("message", (event: MessageEvent<string | ArrayBuffer>) => {
      if (typeof event.data !== "string") this.#onChunk(event.data);
      else this.#onFrame(parse(event.data));
    });
    channel.addEventListener("close", () => this.#onClose());
  }

  text(text: string): void {
    this.#say({ type: "text", text: clip(text) });
  }

  neighbours(peers: string[]): void {
    this.#say({ type: "links", peers });
  }

  /** Resolves when the receiver has confirmed the hash; rejects when the file was refused, cancelled or cut off. */
  send(name: string, content: Uint8Array<ArrayBuffer>, sha256: Promise<string>): Promise<void> {
    if (content.byteLength > FILE_LIMIT) return Promise.reject(tooLarge(content.byteLength));
    return new Promise((resolve, reject) => {
      const id = crypto.randomUUID();
      const transfer: Transfer = {
        id,
        peer: this.#peer,
        direction: "up",
        name: fileName(name),
        size: content.byteLength,
        done: 0,
        state: "waiting",
        cancel: () => {
          if (this.#outgoing.has(id)) this.#say({ type: "file-cancel", id, reason: "the sender cancelled" });
          this.#finish(id, new Error("cancelled"));
        },
      };
      const settle = (error?: Error): void => (error ? reject(error) : resolve());
      const outgoing = { transfer, content, sha256, settle };
      this.#outgoing.set(id, outgoing);
      this.#listener.transfer(transfer);
      this.#turn = this.#turn
        .then(() => this.#pump(outgoing))
        .catch((error: unknown) => this.#finish(id, error instanceof Error ? error : new Error(String(error))));
    });
  }

  async #pump({ transfer, content, sha256 }: Outgoing): Promise<void> {
    if (transfer.state !== "waiting") return;
    transfer.state = "moving";
    this.#say({ type: "file", id: transfer.id, name: transfer.name, size: transfer.size });
    for (let at = 0; at < content.byteLength; at += CHUNK) {
      if (this.#channel.bufferedAmount > BUFFER_HIGH) {
        await this.#drained();
        transfer.done = Math.max(0, at - this.#channel.bufferedAmount);
        this.#listener.transfer(transfer);
      }
      if (!this.#outgoing.has(transfer.id)) return;
      this.#channel.send(content.subarray(at, at + CHUNK));
    }
    transfer.sha256 = await sha256;
    if (!this.#outgoing.has(transfer.id)) return;
    this.#say({ type: "file-end", id: transfer.id, sha256: transfer.sha256 });
    transfer.done = transfer.size;
    transfer.state = "checking";
    this.#listener.transfer(transfer);
  }

  /** Waits until the channel wants more, or is closed (then the next send fails, and says why). */
  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const events = ["bufferedamountlow", "close"];
      const done = (): void => {
        for (const event of events) this.#channel.removeEventListener(event, done);
        resolve();
      };
      for (const event of events) this.#channel.addEventListener(event, done);
      if (this.#channel.readyState !== "open" || this.#channel.bufferedAmount <= BUFFER_LOW) done();
    });
  }

  /** Settles a file on its way out, once; whatever comes later is about a file that is no longer known. */
  #finish(id: string, error?: Error): void {
    const outgoing = this.#outgoing.get(id);
    if (outgoing === undefined) return;
    this.#outgoing.delete(id);
    outgoing.transfer.state = error ? "failed" : "done";
    if (error) outgoing.transfer.reason = error.message;
    this.#listener.transfer(outgoing.transfer);
    outgoing.settle(error);
  }

  #onFrame(frame: Frame | undefined): void {
    switch (frame?.type) {
      case "text":
        this.#listener.text(this.#peer, frame.text);
        break;
      case "links":
        this.#listener.neighbours(this.#peer, frame.peers);
        break;
      case "file":
        this.#begin(frame.id, fileName(frame.name), frame.size);
        break;
      case "file-end":
        if (this.#incoming?.transfer.id === frame.id) void this.#check(this.#incoming, frame.sha256);
        break;
      case "file-received":
        this.#finish(frame.id, frame.ok ? undefined : new Error("it arrived damaged"));
        break;
      case "file-cancel":
        this.#finish(frame.id, new Error(frame.reason));
        this.#abandon(frame.id, frame.reason);
        break;
      case undefined: // no frame of ours
        break;
    }
  }

  #begin(id: string, name: string, size: number): void {
    if (this.#incoming) this.#refuse(this.#incoming.transfer.id, "the next file came before its end");
    const transfer: Transfer = {
      id,
      peer: this.#peer,
      direction: "down",
      name,
      size,
      done: 0,
      state: "moving",
      cancel: () => this.#refuse(id, "the receiver cancelled"),
    };
    this.#incoming = { transfer, parts: [], began: performance.now() };
    this.#listener.transfer(transfer);
    if (size > FILE_LIMIT) this.#refuse(id, tooLarge(size).message);
  }

  #onChunk(chunk: ArrayBuffer): void {
    const incoming = this.#incoming;
    if (incoming === undefined) return; // the rest of a file that was cancelled
    incoming.parts.push(chunk);
    incoming.transfer.done += chunk.byteLength;
    if (incoming.transfer.done > incoming.transfer.size) {
      this.#refuse(incoming.transfer.id, "it is longer than announced");
    } else {
      this.#listener.transfer(incoming.transfer);
    }
  }

  async #check({ transfer, parts, began }: Incoming, announced: string): Promise<void> {
    this.#incoming = undefined;
    const ms = performance.now() - began;
    transfer.state = "checking";
    this.#listener.transfer(transfer);
    // Never the type that the sender would like: opened from here, it would run as a page of ours.
    const file = new Blob(parts, { type: "application/octet-stream" });
    transfer.sha256 = await sha256(await file.arrayBuffer());
    const ok = transfer.sha256 === announced && file.size === transfer.size;
    this.#listener.received(file.size, ms, ok);
    transfer.state = ok ? "done" : "failed";
    if (ok) transfer.file = file;
    else transfer.reason = "it arrived damaged";
    this.#listener.transfer(transfer);
    this.#say({ type: "file-received", id: transfer.id, sha256: transfer.sha256, ok });
  }

  #refuse(id: string, reason: string): void {
    this.#say({ type: "file-cancel", id, reason });
    this.#abandon(id, reason);
  }

  #abandon(id: string, reason: string): void {
    const transfer = this.#incoming?.transfer;
    if (transfer?.id !== id) return;
    this.#incoming = undefined;
    transfer.state = "failed";
    transfer.reason = reason;
    this.#listener.transfer(transfer);
  }

  #onClose(): void {
    for (const id of [...this.#outgoing.keys()]) this.#finish(id, new Error("the link closed"));
    if (this.#incoming) this.#abandon(this.#incoming.transfer.id, "the link closed");
  }

  #say(frame: Frame): void {
    if (this.#channel.readyState === "open") this.#channel.send(encode(frame));
  }
}

/** In lower-case hexadecimal. */
export async function sha256(content: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function tooLarge(size: number): Error {
  return new Error(`${inWords(size)} is too large: this demo takes files up to ${inWords(FILE_LIMIT)}`);
}
