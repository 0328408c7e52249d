// The process with a configuration that cannot work: it ends at once with EX_CONFIG, reports every fault by the name of its
// variable, and repeats no secret. And with the configuration of production: TLS only.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { IngestorProcess } from '../../local/ingestor-process.ts';
import { Stage } from '../../local/stage.ts';
import { ENV } from '../../service/contract/names.ts';
import { Inbox } from '../support/inbox.ts';

/** Of sysexits.h. */
const EX_CONFIG = 78;
const SECRET = `hunter2-${randomBytes(8).toString('hex')}`;
const RIGHT = {
  [ENV.discordBotToken]: `bot-token.${SECRET}`,
  [ENV.rabbitmqUrl]: `amqp://ingestor:${SECRET}@127.0.0.1:1/discord`,
};

const folder = await mkdtemp(join(tmpdir(), 'ingestor-configuration-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each<[string, Record<string, string>, readonly RegExp[]]>([
  [
    'for all faults at once',
    {
      [ENV.discordBotToken]: `Bot ${SECRET}`,
      [ENV.rabbitmqUrl]: `https://ingestor:${SECRET}@127.0.0.1/discord`,
      [ENV.shardCount]: 'many',
    },
    [/^DISCORD_BOT_TOKEN: expected/, /^RABBITMQ_URL: expected/, /^SHARD_COUNT: expected/],
  ],
  [
    'when values are in the wrong variables',
    {
      [ENV.shardCount]: `arn:aws:secretsmanager:eu-central-1:111122223333:secret:${SECRET}`,
      [ENV.gatewayIntents]: `amqps://ingestor:${SECRET}@broker`,
      [ENV.events]: `amqps://ingestor:${SECRET.repeat(5)}@broker`,
    },
    [/^SHARD_COUNT: expected .*got '\[redacted\]'/, /^EVENTS: expected/, /^GATEWAY_INTENTS: expected/],
  ],
  [
    'when the certificate authority cannot be read',
    { [ENV.rabbitmqCaFile]: join(folder, 'no-such-file.pem') },
    [/^RABBITMQ_CA_FILE: .*no-such-file\.pem/],
  ],
])('the process ends with EX_CONFIG %s', async (_, env, faults) => {
  const task = new IngestorProcess({ name: 'task', logFile: join(folder, 'task.log'), env: { ...RIGHT, ...env } });
  onTestFinished(() => task.kill());
  expect(await task.exit, task.output).toBe(EX_CONFIG);
  expect(task.output).not.toContain(SECRET);
  const lines = task.output.trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual(
    faults.map((fault) => ({ level: 'fatal', time: expect.any(String), msg: expect.stringMatching(fault) })),
  );
});

describe('with TLS to the broker, in production', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.start({ tls: true, tasks: 0, untilReady: false, env: { [ENV.nodeEnv]: 'production' } });
  });
  afterAll(() => stage?.stop());

  test('a task does not connect to a broker whose certificate authority is unknown', async () => {
    const task = await stage.startTask({ [ENV.rabbitmqCaFile]: '' });
    await stage.until('the certificate is refused', 30_000, () => /certificate/.test(task.output));
    expect(task.output).toContain('"host":"127.0.0.1"');
    expect(task.output).not.toContain('connected to the broker');
    // Ctrl-C.
    task.signal('SIGINT');
    expect(await task.exit).toBe(0);
  });

  test('with RABBITMQ_CA_FILE it connects, and events arrive', async () => {
    const inbox = new Inbox(stage);
    await stage.startTask();
    await stage.ready();
    await inbox.upToNow();
    await inbox.first('the begin of the session', ({ routingKey }) => routingKey === 'gateway.ready');
    expect(inbox.all).toHaveLength(3);
    const connections = await stage.broker.ctl('list_connections', '--quiet', '--no-table-headers', 'user', 'ssl');
    expect(new Set(connections.match(/^ingestor\t.*/gm))).toEqual(new Set(['ingestor\ttrue']));
  });
});
