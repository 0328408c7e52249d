// amqplib's `connect`, and three things that it lacks. The broker's reason for a refusal: amqplib has that of a wrong
// password only; for what is refused later (a vhost, a limit of connections) its error is "Expected ConnectionOpenOk; got
// <ConnectionClose …>". A deadline that a peer which never stops sending does not extend. And a safe start: what follows the
// last frame of the handshake is read when the caller listens; amqplib reads it before, so that an error would end the
// process, and an end would go unnoticed. All of it by the socket that Node.js publishes on a diagnostics channel.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { type ChannelModel, connect, type Options } from 'amqplib';
import { type Attempt, connectFailure } from './refusal.ts';

/** The broker's frames of the handshake have a few hundred bytes. */
const MOST_BYTES = 64 * 1024;

/**
 * Listen to the result at once, before anything else is awaited.
 * @param deadlineMs for the handshake
 * @throws Error with one sentence: refusal.ts
 */
export async function connectWithReason(
  deadlineMs: number,
  to: Attempt & Options.Connect,
  socket: Parameters<typeof connect>[1],
): Promise<ChannelModel> {
  const readers: HandshakeReader[] = [];
  const tap = (message: unknown) => {
    readers.push(new HandshakeReader((message as { readonly socket: Socket }).socket));
  };
  // The socket is made before `connect` returns, so that it cannot be another connection's.
  subscribe('net.client.socket', tap);
  let opening: Promise<ChannelModel>;
  try {
    opening = connect(to, socket);
  } finally {
    unsubscribe('net.client.socket', tap);
  }
  const late = setTimeout(() => {
    for (const reader of readers)
      reader.abandon(`the broker did not finish the handshake within ${deadlineMs / 1_000} s`);
  }, deadlineMs);
  try {
    return await opening;
  } catch (error) {
    const [reason] = readers.flatMap(({ closeReason }) => closeReason ?? []);
    throw connectFailure(error, to, reason);
  } finally {
    clearTimeout(late);
    // When the caller listens.
    setImmediate(() => {
      for (const reader of readers) reader.release();
    });
  }
}

/** Stands between a socket and its reader, up to the last frame of the handshake. */
class HandshakeReader {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #finished = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    const read = socket.read.bind(socket);
    socket.read = (size) => {
      const chunk: unknown = this.#finished ? null : read(size);
      return chunk instanceof Buffer ? this.#take(chunk) : chunk;
    };
  }

  /** Of the broker's `connection.close`, if there is one. https://www.rabbitmq.com/amqp-0-9-1-reference */
  get closeReason(): { readonly code: number; readonly text: string } | undefined {
    const frame = methodsIn(this.#received).find(({ id, payload }) => id === CONNECTION_CLOSE && payload.length > 6);
    if (frame === undefined) return undefined;
    const { payload } = frame;
    return { code: payload.readUInt16BE(4), text: payload.toString('utf8', 7, 7 + payload.readUInt8(6)) };
  }

  abandon(reason: string): void {
    this.#socket.destroy(new Error(reason));
  }

  /** From now on the socket is read as any other. */
  release(): void {
    // Then the method of its class is called again.
    Reflect.deleteProperty(this.#socket, 'read');
    this.#socket.emit('readable');
  }

  /** @returns what belongs to the handshake; the rest stays in the socket */
  #take(chunk: Buffer): Buffer {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#received.length > MOST_BYTES)
      this.abandon(`the broker sent more than ${MOST_BYTES / 1024} KiB in the handshake`);
    const last = methodsIn(this.#received).find(({ id }) => id === CONNECTION_OPEN_OK);
    if (last === undefined) return chunk;
    this.#finished = true;
    const ofHandshake = chunk.length - (this.#received.length - last.end);
    if (ofHandshake < chunk.length) this.#socket.unshift(chunk.subarray(ofHandshake));
    return chunk.subarray(0, ofHandshake);
  }
}

const METHOD_FRAME = 1;
const FRAME_HEADER_BYTES = 7;
/** Class 10, methods 41 and 50. */
const CONNECTION_OPEN_OK = (10 << 16) | 41;
const CONNECTION_CLOSE = (10 << 16) | 50;

/** The methods of complete frames. @returns `end`: where the next frame begins */
function methodsIn(bytes: Buffer): { readonly id: number; readonly payload: Buffer; readonly end: number }[] {
  const methods = [];
  for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length; ) {
    const start = at + FRAME_HEADER_BYTES;
    const end = start + bytes.readUInt32BE(at + 3) + 1;
    if (end > bytes.length) break;
    const payload = bytes.subarray(start, end - 1);
    if (bytes[at] === METHOD_FRAME && payload.length >= 4) methods.push({ id: payload.readUInt32BE(0), payload, end });
    at = end;
  }
  return methods;
}
