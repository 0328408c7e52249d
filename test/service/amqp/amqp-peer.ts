// A peer in the broker's place that answers as a test tells it, in AMQP's frames or in anything else.

import net, { type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface AmqpPeer {
  readonly port: number;
  readonly url: string;
  /** Until now. */
  readonly connections: () => number;
  readonly open: () => number;
}

/** @param onData called for what each connection sends, with how many chunks came on it. The first one is AMQP's header */
export async function amqpPeer(onData: (socket: Socket, chunk: number, data: Buffer) => void): Promise<AmqpPeer> {
  const open = new Set<Socket>();
  let connections = 0;
  const server = net.createServer((socket) => {
    connections += 1;
    open.add(socket);
    socket.on('error', () => undefined).on('close', () => open.delete(socket));
    let chunks = 0;
    socket.on('data', (data) => {
      chunks += 1;
      onData(socket, chunks, data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, url: `amqp://a:b@127.0.0.1:${port}/`, connections: () => connections, open: () => open.size };
}

/** Shakes hands, and sends this together with the last frame of the handshake. @param then for what is sent later */
export const handshakeThen = (
  behind: Buffer,
  then: (socket: Socket, chunk: number, data: Buffer) => void = () => undefined,
) => {
  return (socket: Socket, chunk: number, data: Buffer) => {
    if (chunk <= 2) socket.write(chunk === 1 ? START : TUNE);
    else if (chunk === 3) socket.write(Buffer.concat([OPEN_OK, behind]));
    if (chunk >= 3) then(socket, chunk, data);
  };
};

export function frame(type: number, channel: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type]), u16(channel), u32(payload.length), payload, Buffer.from([0xce])]);
}

export const method = (channel: number, classId: number, id: number, ...fields: Buffer[]) =>
  frame(1, channel, Buffer.concat([u16(classId), u16(id), ...fields]));

export const close = (code: number, text: string) => method(0, 10, 50, u16(code), short(text), u16(0), u16(0));

const u16 = (value: number) => Buffer.from([value >> 8, value]);
const u32 = (value: number) => Buffer.concat([u16(value >>> 16), u16(value)]);
const long = (text: string) => Buffer.concat([u32(text.length), Buffer.from(text)]);
const short = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

export const START = method(0, 10, 10, Buffer.from([0, 9]), u32(0), long('PLAIN'), long('en_US'));
export const TUNE = method(0, 10, 30, u16(2_047), u32(131_072), u16(60));
export const OPEN_OK = method(0, 10, 41, short(''));
export const HEARTBEAT = frame(8, 0, Buffer.alloc(0));
