// Tries a login by AMQP, as the service and the workers use it, and reports why the broker refuses it.
import type { ChannelModel } from 'amqplib';
import { connectWithReason } from '../../service/amqp/handshake.ts';
import { errorMessage } from '../../service/errors.ts';
import type { BrokerLogin } from '../management/broker-login.ts';
import { withoutSecrets } from '../management/redact.ts';

const DEADLINE_MS = 15_000;

/** @throws Error with one sentence, which does not quote the password */
export async function tryLogin({ host, port, vhost, username, password, tls }: BrokerLogin): Promise<void> {
  const protocol = tls === false ? 'amqp' : 'amqps';
  const to = { protocol, hostname: host, port, vhost: encodeURIComponent(vhost), username, password };
  let connection: ChannelModel | undefined;
  let closed: unknown;
  try {
    connection = await connectWithReason(DEADLINE_MS, to, {
      clientProperties: { connection_name: 'test of a rotated login' },
    });
    connection.on('error', (error) => {
      closed = error;
    });
    // An open channel shows that the limits leave room for one.
    await connection.createChannel();
    await connection.close();
  } catch (error) {
    await connection?.close().catch(() => undefined);
    const reason = withoutSecrets(errorMessage(closed ?? error), [password]);
    throw new Error(`user ${username} cannot log in to ${host}:${port}, vhost ${vhost}: ${reason}`);
  }
}
