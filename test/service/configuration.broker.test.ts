// The process with a faulty configuration: it ends at once with EX_CONFIG, logs every fault by the name of its variable,
// and quotes no secret. And with the configuration of production: TLS only.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { IngestorProcess } from '../../local/ingestor-process.ts';
import { Stage } from '../../local/stage.ts';
import { EXIT_CONFIG } from '../../service/contract/limits.ts';
import { ENV } from '../../service/contract/names.ts';
import { Inbox } from '../support/inbox.ts';

const SECRET = `hunter2-${randomBytes(8).toString('hex')}`;
const TOKEN = `bot-token.${SECRET}`;
const SOUND = { [ENV.discordBotToken]: TOKEN, [ENV.rabbitmqUrl]: `amqp://ingestor:${SECRET}@127.0.0.1:1/discord` };

const folder = await mkdtemp(join(tmpdir(), 'ingestor-configuration-'));
const started: IngestorProcess[] = [];
afterAll(async () => {
  await Promise.all(started.map((each) => each.kill()));
  await rm(folder, { recursive: true, force: true });
});

function start(env: Record<string, string>): IngestorProcess {
  const name = `task-${started.length}`;
  const task = new IngestorProcess({ name, logFile: join(folder, `${name}.log`), env });
  started.push(task);
  return task;
}

/** Ends by itself. @returns its log lines */
async function faultsOf(env: Record<string, string>): Promise<string[]> {
  const task = start(env);
  expect(await task.exit, task.output).toBe(EXIT_CONFIG);
  expect(task.output).not.toContain(SECRET);
  return task.output
    .trim()
    .split('\n')
    .map((line) => {
      const { level, msg } = JSON.parse(line) as { level: string; msg: string };
      expect(level).toBe('fatal');
      return msg;
    });
}

describe('a faulty configuration is refused', () => {
  test('for every fault at once, each by the name of its variable', async () => {
    const faults = await faultsOf({
      [ENV.discordBotToken]: `Bot ${TOKEN}`,
      [ENV.rabbitmqUrl]: `https://ingestor:${SECRET}@127.0.0.1/discord`,
      [ENV.shardCount]: 'many',
    });
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([ENV.discordBotToken, ENV.rabbitmqUrl, ENV.shardCount]);
    for (const fault of faults) expect(fault).toMatch(/expected/);
  });

  test('when the certificate authority cannot be read', async () => {
    const faults = await faultsOf({ ...SOUND, [ENV.rabbitmqCaFile]: join(folder, 'no-such-file.pem') });
    expect(faults).toEqual([expect.stringMatching(/^RABBITMQ_CA_FILE: .*no-such-file\.pem/)]);
  });

  test('when the port is taken', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      const faults = await faultsOf({ ...SOUND, [ENV.port]: String(port) });
      expect(faults).toEqual([expect.stringMatching(new RegExp(`^PORT, HOST: cannot listen on 127.0.0.1:${port}`))]);
    } finally {
      server.close();
    }
  });
});

test('a task that has reached neither the broker nor Discord lives, and exits 0 at SIGTERM', async () => {
  const task = await start({
    ...SOUND,
    [ENV.discordApiUrl]: 'http://127.0.0.1:1/api',
    [ENV.shardCount]: 'auto',
  }).listening();
  const logged = ['cannot connect to the broker', "cannot get the gateway's address"];
  await vi.waitUntil(() => logged.every((each) => task.output.includes(each)), { timeout: 30_000 });
  expect((await fetch(`${task.url}/live`)).status).toBe(200);
  expect((await fetch(`${task.url}/health`)).status).toBe(503);
  expect(await task.terminate()).toBe(0);
  expect(task.output).not.toContain(SECRET);
});

describe('with TLS to the broker, in production', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.start({ tls: true, tasks: 0, untilReady: false, env: { [ENV.nodeEnv]: 'production' } });
  });
  afterAll(() => stage?.stop());

  test('a broker whose certificate authority is not known is not used', async () => {
    const task = await stage.startTask({ [ENV.rabbitmqCaFile]: '' });
    await stage.until('the certificate is refused', 30_000, () => /certificate/.test(task.output));
    expect(task.output).not.toContain('connected to the broker');
    expect(await task.terminate()).toBe(0);
  });

  test('RABBITMQ_CA_FILE makes it known, and events arrive', async () => {
    const inbox = new Inbox(stage);
    await stage.startTask();
    await stage.ready();
    await inbox.upToNow();
    expect(inbox.all).toHaveLength(2);
    const connections = await stage.broker.ctl('list_connections', '--quiet', '--no-table-headers', 'user', 'ssl');
    expect(connections.split('\n').filter((line) => line.startsWith('ingestor'))).toEqual([
      'ingestor\ttrue',
      'ingestor\ttrue',
    ]);
  });
});
