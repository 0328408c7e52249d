// How frames go over the socket: as text, or through one zlib stream for the whole connection, in which each frame ends
// with a sync flush (`compress=zlib-stream`). https://discord.com/developers/docs/events/gateway#transport-compression

import { constants, createDeflate, deflateSync } from 'node:zlib';
import type { WebSocket } from 'ws';

export interface Transport {
  send(text: string): void;
  /** Calls back when everything before is handed to the socket. */
  flushed(then: () => void): void;
  destroy(): void;
}

/** Payload compression begins at this size; Discord names no bound. */
const COMPRESSED_FROM_BYTES = 4_096;

export class PlainTransport implements Transport {
  readonly #socket: WebSocket;
  /** `compress: true` in IDENTIFY: large payloads are zlib, each for itself. */
  compressLarge = false;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  send(text: string): void {
    this.#socket.send(this.compressLarge && text.length > COMPRESSED_FROM_BYTES ? deflateSync(text) : text);
  }

  flushed(then: () => void): void {
    then();
  }

  destroy(): void {}
}

export class ZlibStreamTransport implements Transport {
  readonly #deflate = createDeflate();
  #chunks: Buffer[] = [];
  #pending = 0;
  #then: (() => void) | undefined;

  constructor(socket: WebSocket) {
    this.#deflate.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    this.#send = (frame) => socket.send(frame);
  }

  readonly #send: (frame: Buffer) => void;

  send(text: string): void {
    this.#pending += 1;
    this.#deflate.write(text);
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => {
      const frame = Buffer.concat(this.#chunks);
      this.#chunks = [];
      this.#send(frame);
      this.#pending -= 1;
      if (this.#pending === 0) this.#then?.();
    });
  }

  flushed(then: () => void): void {
    if (this.#pending === 0) then();
    else this.#then = then;
  }

  destroy(): void {
    this.#deflate.destroy();
  }
}
