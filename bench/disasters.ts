// How each disaster of test/contracts/disasters.ts is made to happen, on a stage of its own.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Channel, type ConsumeMessage, connect } from 'amqplib';
import { DEFAULTS } from '../local/discord/options.ts';
import type { DiscordSimulator } from '../local/discord/simulator.ts';
import { startSecretsManager } from '../local/secrets-manager.ts';
import type { Stage, StageOptions } from '../local/stage.ts';
import { ENV, EXCHANGES, leaseQueue, QUEUES, USERS, VHOST } from '../service/contract/names.ts';
import type { DisasterName } from '../test/contracts/disasters.ts';
import { manage } from '../test/support/broker.ts';
import { fill, raft } from '../test/support/broker-faults.ts';
import { SilentProxy } from '../test/support/silent-proxy.ts';

export type DisasterStage = Stage & { readonly simulator: DiscordSimulator };

export const MINUTES = 5;

export interface Staging {
  /** Beside the two tasks of a group of two shards. */
  readonly stage?: StageOptions;
  /** Events a second over all shards. @default 5 */
  readonly rate?: number;
  /** How long it is played. @default - MINUTES */
  readonly minutes?: number;
  /** Starts the tasks in the stage's place. */
  readonly tasks?: (stage: DisasterStage) => Promise<unknown>;
  /** The bot's first hour: there is no time before it in which all is well. */
  readonly first?: true;
  /** Makes it happen. What it begins ends with the signal. */
  readonly inject?: (stage: DisasterStage, signal: AbortSignal) => unknown;
}

const secrets = await startSecretsManager();
const tokenSecret = (name: string, token: string) => ({
  ...{ [ENV.discordBotToken]: '', [ENV.discordBotTokenSecretArn]: secrets.put(name, token) },
  ...secrets.environment,
});

/** Both kinds of events have a queue of their own. */
export const MIX = { 'command.plain': 1, 'message.text': 3 };
const PATIENT = { replayBuffer: { events: 100_000, trimmedByAcknowledgement: false } };

const refuseRest = ({ simulator }: DisasterStage) =>
  simulator.changeAnswer('REST', () => ({
    status: 429,
    headers: { 'retry-after': '600', 'x-ratelimit-global': 'true' },
    body: { message: 'You are being rate limited.', retry_after: 600, global: true },
  }));
const invalidate = ({ simulator }: DisasterStage, shard?: number) => simulator.invalidate(shard, { resumable: false });
const killAll = (stage: Stage) => Promise.all(stage.living.map((task) => task.kill()));

/** The owner of the one group. */
async function owner(stage: Stage) {
  const task = await stage.owner();
  if (task === undefined) throw new Error('expected an owner, got none');
  return task;
}

/** A task that is started, lives for so long, and is killed, again and again. */
async function crashLoop(stage: Stage, signal: AbortSignal, livesMs: number, pauseMs = 2_000): Promise<void> {
  const wait = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined);
  while (!signal.aborted) {
    const task = await stage.startTask();
    await wait(livesMs);
    await task.kill();
    await wait(pauseMs);
  }
}

/** A worker that does this with each message, so many at once. */
async function worker(
  stage: Stage,
  queue: string,
  prefetch: number,
  handle: (message: ConsumeMessage, channel: Channel) => unknown,
): Promise<void> {
  const model = await connect(stage.url(USERS.worker));
  model.on('error', () => undefined);
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  await channel.prefetch(prefetch);
  await channel.consume(queue, (message) => void (message && handle(message, channel)));
}

/** The owner reaches the broker through this line alone; the other task as ever. */
function behindLine(doWith: (line: SilentProxy) => void): Pick<Staging, 'tasks' | 'inject'> {
  const lines = new WeakMap<Stage, SilentProxy>();
  return {
    async tasks(stage) {
      const line = await SilentProxy.start(stage.broker.amqpPort);
      lines.set(stage, line);
      await stage.startTask({
        [ENV.rabbitmqUrl]: stage.url(USERS.ingestor).replace(`:${stage.broker.amqpPort}/`, `:${line.port}/`),
      });
      await stage.ready();
      await stage.startTask();
    },
    inject(stage, signal) {
      const line = lines.get(stage);
      if (line === undefined) throw new Error('expected a line');
      doWith(line);
      signal.addEventListener('abort', () => void line.stop());
    },
  };
}

async function removeBindings(stage: Stage, queue: string): Promise<void> {
  const path = `/api/bindings/${VHOST}/e/${EXCHANGES.events}/q/${queue}`;
  const bindings = (await manage('GET', path, undefined, stage.broker)) as { properties_key: string }[];
  for (const { properties_key } of bindings)
    await manage('DELETE', `${path}/${properties_key}`, undefined, stage.broker);
}

export const STAGINGS: Readonly<Record<DisasterName, Staging>> = {
  healthy: { minutes: 3 },
  idle: { minutes: 3, rate: 0 },
  'a night with one event a minute': { minutes: 4, rate: 1 / 60 },
  'a deployment': { minutes: 3, inject: (stage) => stage.deploy() },
  'a hand-over': {
    minutes: 3,
    inject: (stage) => Promise.all([stage.startTask(), owner(stage).then((task) => task.terminate())]),
  },
  'the broker restarts in 30 s': {
    minutes: 4,
    async inject({ broker }) {
      await broker.stop();
      await sleep(30_000);
      await broker.start();
    },
  },
  'op 7 to all': { minutes: 2, inject: ({ simulator }) => simulator.reconnect() },
  'the first deployment': {
    first: true,
    minutes: 4,
    stage: { tasks: 0, untilReady: false },
    inject: (stage) => Promise.all([stage.startTask(), stage.startTask()]),
  },
  'every task dead': { minutes: 4, inject: killAll },
  'crash loop: each task lives 40 s': {
    async inject(stage, signal) {
      await killAll(stage);
      await Promise.all([crashLoop(stage, signal, 40_000), crashLoop(stage, signal, 40_000)]);
    },
  },
  'crash loop that IDENTIFYs each time': {
    stage: { simulator: { sessionTtlMs: 500, dailyIdentifies: 212 } },
    async inject(stage, signal) {
      await killAll(stage);
      await crashLoop(stage, signal, 20_000);
    },
  },
  'no token': {
    stage: { env: tokenSecret('missing', DEFAULTS.token) },
    inject({ simulator }) {
      secrets.put('missing', '');
      simulator.rotateToken('another-token');
    },
  },
  'first deployment without a token': {
    first: true,
    stage: { untilReady: false, env: tokenSecret('never', '') },
  },
  'the token is rejected': { inject: ({ simulator }) => simulator.rotateToken('another-token') },
  'an intent is not granted': {
    inject(stage) {
      stage.simulator.grant(0);
      invalidate(stage);
    },
  },
  'REST answers 429, all sessions lost': {
    minutes: 5,
    inject(stage) {
      refuseRest(stage);
      invalidate(stage);
    },
  },
  'all sessions lost once': { minutes: 3, inject: (stage) => invalidate(stage) },
  'a session lost, the task killed 20 s later': {
    minutes: 3,
    async inject(stage) {
      const lost = await owner(stage);
      invalidate(stage, 0);
      await sleep(20_000);
      await Promise.all([lost.kill(), stage.startTask()]);
    },
  },
  "the day's IDENTIFYs are spent": {
    inject(stage) {
      stage.simulator.changeAnswer('REST', (answer) => ({
        ...answer,
        body: {
          ...(answer.body as object),
          session_start_limit: { total: 1_000, remaining: 0, reset_after: 36_000_000, max_concurrency: 1 },
        },
      }));
      invalidate(stage);
    },
  },
  'the broker is stopped': { minutes: 5, inject: ({ broker }) => broker.stop() },
  'one task cannot reach the broker': behindLine((line) => line.silence()),
  'memory alarm': { minutes: 4, inject: ({ broker }) => broker.memoryAlarm(true) },
  'memory alarm, and the outbox is full': {
    rate: 20,
    stage: { env: { [ENV.outboxMaxEvents]: '1000' }, simulator: PATIENT },
    inject: ({ broker }) => broker.memoryAlarm(true),
  },
  'a queue is stuck': { inject: ({ broker }) => raft(broker, 'suspend', QUEUES.guildEvents) },
  'the lease queue is stuck': { inject: ({ broker }) => raft(broker, 'suspend', leaseQueue(0)) },
  'workers are away, and their queue is full': {
    rate: 10,
    async inject(stage) {
      await fill(stage.broker, QUEUES.guildEvents, 50);
      stage.reader.pause();
    },
  },
  'a queue is full, and one message is taken in 2 s': {
    rate: 10,
    async inject(stage) {
      await fill(stage.broker, QUEUES.guildEvents, 50);
      stage.reader.pause();
      await worker(stage, QUEUES.guildEvents, 1, (message, channel) => setTimeout(() => channel.ack(message), 2_000));
    },
  },
  'interactions are full': {
    async inject(stage) {
      await fill(stage.broker, QUEUES.interactions, 50);
      stage.reader.pause();
    },
  },
  'all workers are away': { minutes: 4, rate: 10, inject: ({ reader }) => reader.pause() },
  'the alternate exchange is gone, and a binding': {
    minutes: 3,
    async inject(stage) {
      await manage('DELETE', `/api/exchanges/${VHOST}/${EXCHANGES.unrouted}`, undefined, stage.broker);
      await removeBindings(stage, QUEUES.guildEvents);
    },
  },
  'a binding is missing': { minutes: 3, inject: (stage) => removeBindings(stage, QUEUES.guildEvents) },
  'an unknown dispatch': {
    minutes: 3,
    inject({ simulator }) {
      simulator.changeAnswer('Dispatch', (answer) => {
        simulator.changeAnswer('Dispatch');
        return { ...answer, t: 'SOMETHING_NEW_CREATE' };
      });
    },
  },
  'one of two standbys is missing': {
    minutes: 3,
    stage: { tasks: 3 },
    inject: async (stage) => void (await (await standbyOf(stage)).kill()),
  },
  'one of two standbys crashes after 70 s, again and again': {
    stage: { tasks: 3 },
    minutes: 8,
    async inject(stage, signal) {
      await (await standbyOf(stage)).kill();
      await crashLoop(stage, signal, 70_000, 30_000);
    },
  },
  'no worker, and three interactions a minute': {
    rate: 1 / 20,
    stage: { simulator: { mix: { 'command.plain': 1 } } },
    inject: ({ reader }) => reader.pause(),
  },
  // RabbitMQ waits a minute for them here, and 15 as deployed.
  'workers that acknowledge nothing': {
    rate: 2,
    stage: { simulator: { mix: { 'command.plain': 1 } } },
    async inject(stage) {
      const path = `/api/policies/${VHOST}/${QUEUES.interactions}`;
      const policy = (await manage('GET', path, undefined, stage.broker)) as { definition: object };
      const hurried = { ...policy, definition: { ...policy.definition, 'consumer-timeout': 60_000 } };
      await manage('PUT', path, hurried, stage.broker);
      stage.reader.pause();
      await worker(stage, QUEUES.interactions, 0, () => undefined);
    },
  },
  'workers refuse all messages': {
    minutes: 4,
    async inject(stage) {
      stage.reader.pause();
      for (const queue of [QUEUES.interactions, QUEUES.guildEvents])
        await worker(stage, queue, 10, (message, channel) => channel.nack(message, false, false));
    },
  },
  'the broker confirms after 1.5 s': { minutes: 6, rate: 1 / 10, ...behindLine((line) => line.delay(750)) },
  'a task is short of heap, as its outbox fills': {
    minutes: 4,
    stage: {
      simulator: PATIENT,
      nodeFlags: ['--max-old-space-size=90'],
      env: { [ENV.outboxMaxBytes]: String(1024 ** 3) },
    },
    async inject(stage) {
      await stage.broker.memoryAlarm(true);
      for (let burst = 0; burst < 68; burst += 1) {
        stage.simulator.burst(1_000);
        await sleep(500);
      }
    },
  },
  'Discord recommends more shards': {
    minutes: 3,
    async inject(stage) {
      stage.simulator.changeAnswer('REST', (answer) => ({
        ...answer,
        body: { ...(answer.body as object), shards: 5 },
      }));
      await stage.deploy();
    },
  },
  'the lease queue is deleted': {
    inject: ({ broker }) => manage('DELETE', `/api/queues/${VHOST}/${leaseQueue(0)}`, undefined, broker),
  },
};

async function standbyOf(stage: Stage) {
  const standby = (await stage.reports()).find(({ role }) => role === 'standby')?.task;
  if (standby === undefined) throw new Error('expected a standby, got none');
  return standby;
}
