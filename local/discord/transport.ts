// How frames go over the socket: as text, or through one zlib stream for the whole connection, in which each frame ends
// with a sync flush (`compress=zlib-stream`). https://discord.com/developers/docs/events/gateway#transport-compression

import { constants, createDeflate } from 'node:zlib';
import type { WebSocket } from 'ws';

export interface Transport {
  send(text: string): void;
  /** Calls back when everything before is passed to the socket. */
  flushed(then: () => void): void;
  destroy(): void;
}

export const plainTransport = (socket: WebSocket): Transport => ({
  send: (text) => socket.send(text),
  flushed: (then) => then(),
  destroy: () => undefined,
});

export function zlibStreamTransport(socket: WebSocket): Transport {
  const deflate = createDeflate();
  let chunks: Buffer[] = [];
  deflate.on('data', (chunk: Buffer) => chunks.push(chunk));
  return {
    send(text) {
      deflate.write(text);
      deflate.flush(constants.Z_SYNC_FLUSH, () => {
        socket.send(Buffer.concat(chunks));
        chunks = [];
      });
    },
    // Flushes call back in their order.
    flushed: (then) => deflate.flush(constants.Z_SYNC_FLUSH, then),
    destroy: () => deflate.destroy(),
  };
}
