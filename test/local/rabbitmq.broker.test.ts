// The launcher against the real thing: nodes that are started, stopped, killed and frozen, and what is left of them.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect as connectTcp, createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import amqplib from 'amqplib';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { lookAround } from '../../local/rabbitmq/machine.ts';
import { freePorts, onFreePorts } from '../../local/rabbitmq/ports.ts';
import { waysToRabbitMq } from '../../local/rabbitmq/ways.ts';
import { bring, type RabbitMqNode, startRabbitMq } from '../../local/rabbitmq.ts';

const LAUNCHER = new URL('../../local/rabbitmq.ts', import.meta.url).href;
const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } };
/** Where a process leaves traces that can be read. */
const linux = process.platform === 'linux';

async function connect(node: RabbitMqNode): Promise<amqplib.ChannelModel> {
  const connection = await amqplib.connect(node.amqpUrl());
  connection.on('error', () => {}); // These tests cut connections.
  return connection;
}

async function publishConfirmed(node: RabbitMqNode, queue: string, count: number): Promise<void> {
  const connection = await connect(node);
  const channel = await connection.createConfirmChannel();
  for (let i = 0; i < count; i++) channel.sendToQueue(queue, Buffer.from(`${i}`), { persistent: true });
  await channel.waitForConfirms();
  await connection.close();
}

/** Takes what the queue holds, in its order, and expects so much of it. */
async function take(node: RabbitMqNode, queue: string, count: number): Promise<string[]> {
  const connection = await connect(node);
  const channel = await connection.createChannel();
  const taken: string[] = [];
  await new Promise<void>((resolve, reject) => {
    channel.once('error', reject);
    const onMessage = (message: amqplib.ConsumeMessage | null) => {
      if (message) taken.push(message.content.toString());
      if (taken.length === count) resolve();
    };
    channel.consume(queue, onMessage, { noAck: true }).catch(reject);
  });
  await connection.close();
  return taken;
}

const upTo = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

async function exists(node: RabbitMqNode, queue: string): Promise<boolean> {
  const connection = await connect(node);
  const channel = await connection.createChannel();
  channel.on('error', () => {}); // A queue that is not there closes the channel.
  const found = await channel.checkQueue(queue).then(
    () => true,
    (error) => !String(error).includes('NOT_FOUND'),
  );
  await connection.close();
  return found;
}

async function declare(node: RabbitMqNode, queue: string): Promise<void> {
  const connection = await connect(node);
  await (await connection.createChannel()).assertQueue(queue, QUORUM);
  await connection.close();
}

async function manage(node: RabbitMqNode, path: string): Promise<unknown> {
  const authorization = `Basic ${Buffer.from(`${node.username}:${node.password}`).toString('base64')}`;
  const response = await fetch(node.managementUrl + path, { headers: { authorization } });
  return await response.json();
}

/** Its ports in the broker's own words, which it finds a second after it is up. */
async function listenersOf(node: RabbitMqNode, atLeast: number[]): Promise<number[]> {
  const { listeners } = (await manage(node, '/api/overview')) as { listeners: { port: number }[] };
  const ports = listeners.map((listener) => listener.port);
  expect(ports).toEqual(expect.arrayContaining(atLeast));
  return ports;
}

/** The pid of the Erlang machine, as it says itself. */
async function pidOf(node: RabbitMqNode): Promise<number> {
  return Number(await node.ctl('eval', 'list_to_integer(os:getpid()).'));
}

/** When the Erlang machine started, as it says itself. */
async function startedAt(node: RabbitMqNode): Promise<string> {
  return await node.ctl('eval', 'erlang:system_info(start_time) + erlang:time_offset().');
}

const inDocker = (node: RabbitMqNode): boolean => node.origin.startsWith('Docker');

const portOf = (url: string): number => Number(new URL(url).port);

const folderOf = (node: RabbitMqNode): string => dirname(node.caFile ?? '');

/** Pids whose environment or arguments name the folder: the node, epmd, the watchdog, Erlang's own children. */
function processesOf(folder: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return ['environ', 'cmdline'].some((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(folder));
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

/** Docker's containers whose name begins so. */
function containersOf(name: string): string[] {
  const { stdout } = spawnSync('docker', ['ps', '--all', '--format', '{{.Names}}'], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').filter((container) => container.startsWith(`${name}-`));
}

async function nothingLeftOf(folder: string, name: string): Promise<void> {
  await vi.waitFor(
    () =>
      expect({ processes: processesOf(folder), containers: containersOf(name), folder: existsSync(folder) }).toEqual({
        processes: [],
        containers: [],
        folder: false,
      }),
    {
      timeout: 30_000,
      interval: 50,
    },
  );
}

describe('a private node', () => {
  let node: RabbitMqNode;

  beforeAll(async () => {
    node = await startRabbitMq({ private: true, tls: true, name: 'removed' });
  });

  afterAll(async () => await node?.remove());

  test('says its version and where it comes from', async () => {
    expect(node.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(node.origin).not.toBe('');
    expect(await manage(node, '/api/overview')).toMatchObject({ rabbitmq_version: node.version });
  });

  test.runIf(linux)('listens on 127.0.0.1 only', async () => {
    const published = [node.amqpPort, node.amqpsPort ?? 0, portOf(node.managementUrl)];
    const ports = inDocker(node) ? published : await vi.waitFor(() => listenersOf(node, published));
    for (const port of ports) {
      const elsewhere = connectTcp({ host: '127.0.0.2', port });
      await expect(once(elsewhere, 'connect'), `port ${port}`).rejects.toThrow('ECONNREFUSED');
    }
  });

  test('keeps data and ports over stop and start', async () => {
    await declare(node, 'kept');
    await publishConfirmed(node, 'kept', 10);
    await node.stop();
    await expect(connect(node)).rejects.toThrow('ECONNREFUSED');
    await node.start();
    expect(await take(node, 'kept', 10)).toEqual(upTo(10));
  });

  test('is another process after a restart', async () => {
    const before = await startedAt(node);
    await node.restart();
    expect(await startedAt(node)).not.toBe(before);
  });

  test('keeps every confirmed message of a remembered quorum queue over kill -9', async () => {
    const pid = await pidOf(node);
    await declare(node, 'drilled');
    await node.rememberQueues();
    await publishConfirmed(node, 'drilled', 500);
    await node.kill();
    if (!inDocker(node)) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    await node.start();
    expect(await take(node, 'drilled', 500)).toEqual(upTo(500));
  });

  test('refuses to be started twice, and to be frozen while it is down', async () => {
    await expect(node.start()).rejects.toThrow('is running already');
    await node.stop();
    expect(() => node.freeze()).toThrow('is not running');
    await node.stop();
    await node.start();
  });

  test('is silent while frozen, and answers when thawed', async () => {
    const connection = await connect(node);
    const channel = await connection.createChannel();
    const pid = await pidOf(node);
    node.freeze();
    if (linux && !inDocker(node))
      await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).toMatch(/\) T /));
    let answered = false;
    const answer = channel.assertQueue('frozen', QUORUM).then(() => {
      answered = true;
    });
    await expect(fetch(node.managementUrl, { signal: AbortSignal.timeout(500) })).rejects.toThrow('timeout');
    expect(answered).toBe(false);
    node.thaw();
    await answer;
    await connection.close();
  });

  test('can be killed while frozen', async () => {
    node.freeze();
    await node.kill();
    await node.start();
  });

  test('blocks publishers in a memory alarm, and lets them go on after it', async () => {
    const connection = await connect(node);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('alarmed', QUORUM);
    const blocked = once(connection, 'blocked');
    await node.memoryAlarm(true);
    // A connection is told once it publishes.
    channel.sendToQueue('alarmed', Buffer.from('1'));
    await blocked;
    const unblocked = once(connection, 'unblocked');
    await node.memoryAlarm(false);
    await unblocked;
    await channel.waitForConfirms();
    await connection.close();
  });

  test('speaks TLS with a certificate for 127.0.0.1 and localhost of its own authority', async () => {
    const ca = [readFileSync(node.caFile ?? '')];
    for (const host of ['127.0.0.1', 'localhost']) {
      const url = `amqps://${node.username}:${node.password}@${host}:${node.amqpsPort}`;
      const connection = await amqplib.connect(url, { ca });
      await connection.close();
      await expect(amqplib.connect(url)).rejects.toThrow(/certificate/);
    }
  });

  test('runs beside another, which has other ports and other data', async () => {
    await declare(node, 'mine');
    const other = await startRabbitMq({ private: true, name: 'launcher' });
    try {
      expect(other.amqpPort).not.toBe(node.amqpPort);
      expect(await exists(other, 'mine')).toBe(false);
      await other.kill();
      expect(await exists(node, 'mine')).toBe(true);
    } finally {
      await other.remove();
    }
  });

  test('says what rabbitmqctl says when it refuses', async () => {
    await expect(node.ctl('delete_vhost', 'absent')).rejects.toThrow(
      /rabbitmqctl delete_vhost absent failed: .*absent/s,
    );
  });

  test.runIf(linux)('leaves no process and no folder when it is removed, and may be removed again', async () => {
    const folder = folderOf(node);
    expect(processesOf(folder)).not.toEqual([]);
    await node.remove();
    await nothingLeftOf(folder, 'removed');
    await node.remove();
    await expect(node.start()).rejects.toThrow('was removed');
  });
});

describe('a start that fails', () => {
  test('shows what its log says of the cause', async () => {
    const options = { private: true, name: 'failing', memoryHighWatermark: '1GB\nno.such.setting = 1' };
    const failure = await startRabbitMq(options).catch((error) => error);
    expect(failure.message).toMatch(/ended while starting \(exit code 1\)\. Its log:\n.*no\.such\.setting/s);
    // The watchdog takes a moment to end.
    if (linux) await vi.waitFor(() => expect(processesOf('failing-')).toEqual([]), 10_000);
    expect(containersOf('failing')).toEqual([]);
  });

  test('for a port that was taken meanwhile is tried again on others', async () => {
    const [way] = waysToRabbitMq(await lookAround({ ...process.env, RABBITMQ_URL: undefined }));
    if (way === undefined || way.kind === 'given') throw new Error('the tests run on a node, so there is a way to one');
    const thief = createServer();
    const taken = await listen(thief);
    const lines: string[] = [];
    const roles = way.kind === 'docker' ? ['amqp', 'management'] : ['amqp', 'management', 'distribution', 'epmd'];
    const picks = roles.map((role) => async () => ({
      ...(await freePorts()),
      [role]: taken,
    }));
    const node = await onFreePorts(
      await bring(way, { name: 'launcher' }),
      (line) => lines.push(line),
      () => (picks.shift() ?? freePorts)(),
    );
    await node.remove();
    thief.close();
    expect(lines).toEqual(roles.map(() => 'A port was taken by another process meanwhile: trying others'));
  });
});

describe.runIf(linux)('nothing is left of a node whose owner', () => {
  const ENDS = {
    'is killed with -9': `process.kill(process.pid, 'SIGKILL')`,
    'is ended by a SIGTERM that it does not handle': `process.kill(process.pid, 'SIGTERM')`,
    'is ended by a Ctrl-C that it does not handle': `process.kill(process.pid, 'SIGINT')`,
    'throws what nobody catches': `setImmediate(() => { throw new Error('nobody catches this') })`,
    exits: 'process.exit(0)',
  };
  for (const [how, end] of Object.entries(ENDS)) {
    test(how, async () => {
      const script = `
        import { startRabbitMq } from ${JSON.stringify(LAUNCHER)};
        const node = await startRabbitMq({ private: true, tls: true, name: 'orphan' });
        console.log(node.caFile);
        process.stdin.once('data', () => { ${end} });`;
      const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const [caFile] = await once(createInterface(owner.stdout), 'line');
      const folder = dirname(caFile);
      expect(processesOf(folder)).not.toEqual([]);
      const exit = once(owner, 'exit');
      owner.stdin.write('now\n');
      await exit;
      await nothingLeftOf(folder, 'orphan');
    });
  }
});

describe('RABBITMQ_URL', () => {
  const servers: Server[] = [];

  afterEach(() => {
    vi.unstubAllEnvs();
    for (const server of servers.splice(0)) server.close();
  });

  test('is used as it is: a broker that is not ours to stop', async () => {
    const ours = await startRabbitMq({ private: true, name: 'launcher' });
    try {
      vi.stubEnv('RABBITMQ_URL', ours.amqpUrl());
      vi.stubEnv('RABBITMQ_MANAGEMENT_URL', ours.managementUrl);
      const given = await startRabbitMq();
      expect(given).toMatchObject({ version: ours.version, origin: `RABBITMQ_URL, 127.0.0.1:${ours.amqpPort}` });
      expect(given.amqpUrl({ username: 'a b', password: 'p/w:@', vhost: 'x/y' })).toBe(
        `amqp://a%20b:p%2Fw%3A%40@127.0.0.1:${ours.amqpPort}/x%2Fy`,
      );
      await declare(given, 'through-the-given');
      await expect(given.stop()).rejects.toThrow('not ours to stop: unset RABBITMQ_URL');
      await given.remove();
      expect(await exists(ours, 'through-the-given')).toBe(true);

      vi.stubEnv('RABBITMQ_URL', ours.amqpUrl({ username: ours.username, password: 'wrong' }));
      await expect(startRabbitMq()).rejects.toThrow(/^The management API .* \(HTTP 401 .*administrator's login/s);
    } finally {
      await ours.remove();
    }
  });

  test('of a broker that is down is refused in one sentence, without the password', async () => {
    const server = createServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    vi.stubEnv('RABBITMQ_URL', `amqp://someone:secret@127.0.0.1:${port}`);
    await expect(startRabbitMq()).rejects.toThrow(
      `RABBITMQ_URL names a broker at 127.0.0.1:${port} that does not answer (connect ECONNREFUSED 127.0.0.1:${port}): ` +
        'start it, or unset RABBITMQ_URL to have a private node started.',
    );
  });

  test('of something that is no broker is refused in one sentence', async () => {
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    servers.push(server);
    vi.stubEnv('RABBITMQ_URL', `amqp://127.0.0.1:${await listen(server)}`);
    await expect(startRabbitMq()).rejects.toThrow('does not answer (no AMQP 0-9-1, but "HTTP/1.1 400 Bad Req")');
  });

  test('that is no AMQP URL is refused without being repeated', async () => {
    vi.stubEnv('RABBITMQ_URL', 'http://someone:secret@127.0.0.1');
    await expect(startRabbitMq()).rejects.toThrow(
      /^RABBITMQ_URL is not an AMQP URL: expected amqp:\/\/user:password@host:port\.$/,
    );
  });
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}
