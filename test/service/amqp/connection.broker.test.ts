// A connection that is opened again after each loss, with the real broker and with peers that are no broker.

import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BrokerConnection, type BrokerConnectionOptions } from '../../../service/amqp/connection.ts';
import { makeVhost, manage, sharedBroker, type Vhost } from '../../support/broker.ts';
import { fixedLogin, makeUser, type User } from '../../support/broker-client.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';

let vhost: Vhost;
let user: User;
let lines: LogLines;
const open: BrokerConnection[] = [];

beforeEach(async () => {
  vhost = await makeVhost('connection');
  user = await makeUser(vhost);
  lines = logLines();
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((connection) => connection.close()));
  await user.remove();
  await vhost.remove();
});

function connectionOf(options: Partial<BrokerConnectionOptions> = {}): BrokerConnection {
  const connection = new BrokerConnection({ name: 'tested', login: fixedLogin(user.url), log: lines.log, ...options });
  open.push(connection);
  return connection;
}

async function opened(connection: BrokerConnection): Promise<void> {
  if (!connection.connected) await once(connection, 'open', { signal: AbortSignal.timeout(20_000) });
}

describe('a connection', () => {
  it('is opened once, after start; each time that it is lost, it is emitted once and opened again once', async () => {
    const connection = connectionOf();
    expect(connection).toMatchObject({ connected: false, blocked: false, reconnects: 0 });
    const events: string[] = [];
    connection.on('open', () => events.push('open'));
    connection.on('lost', () => events.push('lost'));
    connection.start();
    connection.start();
    await opened(connection);
    expect([connection.connected, events]).toEqual([true, ['open']]);
    for (let times = 1; times <= 2; times += 1) {
      await eventually('the broker knows the connection by its user', async () => (await user.connections()) === 1);
      const again = once(connection, 'open', { signal: AbortSignal.timeout(20_000) });
      await user.dropConnections();
      await again;
      expect(connection.reconnects).toBe(times);
      // The broker lists a connection a moment after it has opened.
      await eventually('the broker knows one connection', async () => (await user.connections()) === 1);
    }
    expect(events).toEqual(['open', 'lost', 'open', 'lost', 'open']);
    expect(await lines.line('the connection to the broker was lost')).toMatchObject({
      err: { message: expect.stringContaining('CONNECTION-FORCED') },
    });
  });

  it('is not opened again after close', async () => {
    const connection = connectionOf();
    connection.start();
    await opened(connection);
    await connection.close();
    expect(connection.connected).toBe(false);
    await eventually('the broker has seen the end', async () => (await user.connections()) === 0);
    expect(lines.lines.map(({ msg }) => msg)).toEqual(['connected to the broker']);
  });
});

describe("the broker's reason is logged", () => {
  const reasonOf = async (connection: BrokerConnection, message: string) => {
    connection.start();
    return ((await lines.line(message)).err as Error).message;
  };
  const none = (of: string) => manage('PUT', `/api/user-limits/${user.username}/max-${of}`, { value: 0 });
  const overTls = (url: string) => {
    const tls = new URL(url.replace(/^amqp:/, 'amqps:'));
    tls.port = String(sharedBroker().amqpsPort);
    return fixedLogin(tls.href);
  };

  it.each(['plain', 'TLS'])('when the user has its connections already: %s', async (way) => {
    await none('connections');
    const connection = connectionOf({
      ...(way === 'TLS' && { login: overTls(user.url), caFile: sharedBroker().caFile }),
    });
    expect(await reasonOf(connection, 'cannot connect to the broker')).toBe(
      `the broker refuses the connection: 530 NOT_ALLOWED - connection refused for user '${user.username}': user connection limit (0) is reached`,
    );
  });

  it('when the user has its channels already; then the pauses grow as after any failure', async () => {
    await none('channels');
    const pauses: number[] = [];
    const connection = connectionOf({ longestPauseMs: () => pauses.push(1) });
    connection.on('open', (model) => void model.createChannel().catch(() => undefined));
    expect(await reasonOf(connection, 'the connection to the broker was lost')).toContain(
      `NOT_ALLOWED - number of channels opened for user '${user.username}' has reached the maximum allowed user limit of 0`,
    );
    await eventually('it waits as after a failure', () => pauses.length >= 2);
  });
});
