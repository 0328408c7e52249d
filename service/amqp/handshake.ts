// amqplib's `connect` with the broker's reason for a refusal. amqplib has the reason of a wrong password only; for what is
// refused later (a vhost, a limit of connections) its error is "Expected ConnectionOpenOk; got <ConnectionClose …>". So
// what the broker sends during the handshake is read here too, from the socket that Node.js publishes on a diagnostics
// channel. If that fails, the error is amqplib's own. lib/rotation/amqp-login.ts does the same in AWS Lambda.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { type ChannelModel, connect } from 'amqplib';
import { errorMessage } from '../errors.ts';

/** @throws Error with the broker's code and text where the broker closes the connection; else what amqplib throws */
export async function connectWithReason(...args: Parameters<typeof connect>): Promise<ChannelModel> {
  const received: Buffer[] = [];
  let stopReading: (() => void) | undefined;
  const tap = (message: unknown) => {
    stopReading = readAlong((message as { readonly socket: Socket }).socket, received);
  };
  // The socket is made before `connect` returns, so that it cannot be another connection's.
  subscribe('net.client.socket', tap);
  let opening: Promise<ChannelModel>;
  try {
    opening = connect(...args);
  } finally {
    unsubscribe('net.client.socket', tap);
  }
  try {
    return await opening;
  } catch (error) {
    const reason = closeReason(Buffer.concat(received));
    if (reason === undefined || errorMessage(error).includes(reason.text)) throw error;
    throw new Error(`the broker refuses the connection: ${reason.code} ${reason.text}`, { cause: error });
  } finally {
    stopReading?.();
  }
}

/** @returns what ends it */
function readAlong(socket: Socket, received: Buffer[]): () => void {
  const read = socket.read.bind(socket);
  socket.read = (size) => {
    const chunk: unknown = read(size);
    if (chunk instanceof Buffer) received.push(chunk);
    return chunk;
  };
  // Then the method of its class is called again.
  return () => void Reflect.deleteProperty(socket, 'read');
}

const METHOD_FRAME = 1;
const FRAME_HEADER_BYTES = 7;
/** Class 10, method 50. */
const CONNECTION_CLOSE = (10 << 16) | 50;

/** Of the broker's `connection.close`, if there is one. https://www.rabbitmq.com/amqp-0-9-1-reference */
function closeReason(bytes: Buffer): { readonly code: number; readonly text: string } | undefined {
  for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length; ) {
    const start = at + FRAME_HEADER_BYTES;
    const end = start + bytes.readUInt32BE(at + 3);
    const payload = bytes.subarray(start, end);
    if (bytes[at] === METHOD_FRAME && payload.length > 6 && payload.readUInt32BE(0) === CONNECTION_CLOSE)
      return { code: payload.readUInt16BE(4), text: payload.toString('utf8', 7, 7 + payload.readUInt8(6)) };
    at = end + 1;
  }
  return undefined;
}
