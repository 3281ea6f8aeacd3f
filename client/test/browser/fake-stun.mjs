// A fake STUN server: it answers binding requests (RFC 8489) with a mapping that a test makes up. The two behaviours of a
// NAT cannot be had otherwise on one machine, which has none.
import { createSocket } from "node:dgram";
import { once } from "node:events";

const REQUEST = 0x0001;
const SUCCESS = 0x0101;
const XOR_MAPPED_ADDRESS = 0x0020;
const COOKIE = 0x2112a442;
const HEADER = 20;

/** Says that every request came from what `mapping(port)` returns for the port that it did come from. */
export class FakeStun {
  #socket = createSocket("udp4");
  asked = 0;

  static async start(mapping) {
    const server = new FakeStun();
    server.#socket.on("message", (message, { port, address }) => {
      if (message.length < HEADER || message.readUInt16BE(0) !== REQUEST || message.readUInt32BE(4) !== COOKIE) return;
      server.asked++;
      server.#socket.send(success(message.subarray(8, HEADER), mapping(port)), port, address);
    });
    server.#socket.bind(0, "127.0.0.1");
    await once(server.#socket, "listening");
    return server;
  }

  get url() {
    return `stun:127.0.0.1:${this.#socket.address().port}`;
  }

  stop() {
    this.#socket.close();
  }
}

function success(transaction, { address, port }) {
  const reply = Buffer.alloc(HEADER + 12);
  reply.writeUInt16BE(SUCCESS, 0);
  reply.writeUInt16BE(12, 2);
  reply.writeUInt32BE(COOKIE, 4);
  transaction.copy(reply, 8);
  reply.writeUInt16BE(XOR_MAPPED_ADDRESS, HEADER);
  reply.writeUInt16BE(8, HEADER + 2);
  reply.writeUInt8(1, HEADER + 5); // IPv4
  reply.writeUInt16BE(port ^ (COOKIE >>> 16), HEADER + 6);
  const number = address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
  reply.writeUInt32BE((number ^ COOKIE) >>> 0, HEADER + 8);
  return reply;
}
