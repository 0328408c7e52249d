// Tries a login by AMQP, as the service and the workers use it, and reports why the broker refuses it. amqplib passes on the
// reason of a wrong password only; for a vhost or a limit it reports "Expected ConnectionOpenOk; got <ConnectionClose …>".
// So what the broker sends during the handshake is read here as well. service/amqp/handshake.ts reads it too: the function
// and the service may not import each other.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { type ChannelModel, connect } from 'amqplib';
import type { BrokerLogin } from '../management/broker-login.ts';
import { withoutSecrets } from '../management/redact.ts';

const DEADLINE_MS = 15_000;

/** @throws Error with one sentence, which does not quote the password */
export async function tryLogin({ host, port, vhost, username, password, tls }: BrokerLogin): Promise<void> {
  const received: Buffer[] = [];
  const tap = (message: unknown) => record((message as { socket: Socket }).socket, received);
  const refused = (error: unknown) => {
    const reason = closeReason(Buffer.concat(received)) ?? (error instanceof Error ? error.message : String(error));
    return new Error(
      `user ${username} cannot log in to ${host}:${port}, vhost ${vhost}: ${withoutSecrets(reason, [password])}`,
    );
  };
  let connection: ChannelModel | undefined;
  // The socket is made before `connect` returns, so that it is no other connection's.
  subscribe('net.client.socket', tap);
  const opening = connect(
    {
      protocol: tls === false ? 'amqp' : 'amqps',
      hostname: host,
      port,
      // amqplib decodes it, as if it stood in an address.
      vhost: encodeURIComponent(vhost),
      username,
      password,
    },
    { timeout: DEADLINE_MS, clientProperties: { connection_name: 'test of a rotated login' } },
  );
  unsubscribe('net.client.socket', tap);
  try {
    connection = await opening;
    // The broker's reason is read from `received`; without a listener amqplib throws it.
    connection.on('error', () => undefined);
    // An open channel shows that the limits leave room for one.
    await connection.createChannel();
    await connection.close();
  } catch (error) {
    await connection?.close().catch(() => undefined);
    throw refused(error);
  }
}

/** Keeps what the socket receives. */
function record(socket: Socket, received: Buffer[]): void {
  const read = socket.read.bind(socket);
  socket.read = (size) => {
    const chunk: unknown = read(size);
    if (chunk instanceof Buffer) received.push(chunk);
    return chunk;
  };
}

const METHOD_FRAME = 1;
const FRAME_HEADER_BYTES = 7;
/** Class 10, method 50. */
const CONNECTION_CLOSE = (10 << 16) | 50;

/** Code and text of the broker's `connection.close`, if there is one. https://www.rabbitmq.com/amqp-0-9-1-reference */
function closeReason(bytes: Buffer): string | undefined {
  for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length; ) {
    const start = at + FRAME_HEADER_BYTES;
    const end = start + bytes.readUInt32BE(at + 3);
    const payload = bytes.subarray(start, end);
    if (bytes[at] === METHOD_FRAME && payload.length > 6 && payload.readUInt32BE(0) === CONNECTION_CLOSE)
      return `${payload.readUInt16BE(4)} ${payload.toString('utf8', 7, 7 + payload.readUInt8(6))}`;
    at = end + 1;
  }
  return undefined;
}
