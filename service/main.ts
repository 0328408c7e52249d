// The service: reads the environment, constructs everything, and runs until SIGTERM. Nothing else constructs, and
// nothing else reads `process.env`. Exit codes: 0 drained, 1 failed, 78 faulty configuration.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { BrokerConnection } from './amqp/connection.ts';
import { ExclusiveQueueMutex } from './amqp/exclusive-queue.ts';
import { QueueDepths } from './amqp/queue-depths.ts';
import { fullness } from './backpressure.ts';
import { type Config, parseConfig } from './config.ts';
import { DRAIN_DEADLINE_SECONDS, EXIT_CONFIG } from './contract/limits.ts';
import { METRICS_PERIOD_SECONDS } from './contract/metrics.ts';
import { ENV, identifyQueue, QUEUES } from './contract/names.ts';
import { ConfigError, errorMessage } from './errors.ts';
import { BotToken } from './gateway/bot-token.ts';
import { GatewayInformation } from './gateway/gateway-information.ts';
import { IdentifyGate } from './gateway/identify-gate.ts';
import { declareGauges } from './gauges.ts';
import type { HealthSnapshot } from './health.ts';
import { listen } from './http-server.ts';
import { Ingestor } from './ingestor.ts';
import { LeaseKeeper } from './lease/lease-keeper.ts';
import { abandonedBy, takeOver } from './lease/take-over.ts';
import { createLog, type Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { credential, parseBrokerLogin, parseTlsLogin, parseToken } from './secrets.ts';

/** The broker's clients are few, and Discord keeps sessions for minutes only: a broker that is back is not to wait long. */
const BROKER_PAUSE_MS = 5_000;
const OWNER_PAUSE_MS = 1_500;
/** Of the drain's time: for the last record and for closing everything, with a broker that does not answer. */
const RELEASE_SECONDS = 10;

async function run(config: Config): Promise<void> {
  const me = `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`;
  const { log, hide } = createLog({ level: config.logLevel, base: { environment: config.environment, task: me } });
  // A defect, told where everything else is told, and without secrets. The sessions go to the next owner.
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'a defect in the ingestor: the task ends');
    process.exit(1);
  });
  const parseLogin = config.production ? parseTlsLogin : parseBrokerLogin;
  const login = credential(config.broker.login, ENV.rabbitmqUrl, parseLogin, hide);
  const token = new BotToken(credential(config.discord.token, ENV.discordBotToken, parseToken, hide), log);
  const ca = config.broker.caFile === undefined ? undefined : await readCa(config.broker.caFile);
  const metrics = new Metrics();
  const stopping = new AbortController();

  let shardCount: number | undefined;
  let keeper: LeaseKeeper | undefined;

  // Two connections: a broker in memory alarm blocks those that publish much, and the lease must not wait for them.
  const connection = new BrokerConnection({
    name: `${me} publisher`,
    ...{ login, ca, log },
    longestPauseMs: () => BROKER_PAUSE_MS,
  });
  const leaseConnection = new BrokerConnection({
    name: `${me} lease`,
    ...{ login, ca, log },
    // Within a standby's patience, so that the incumbent is back before it.
    longestPauseMs: () => (keeper?.role === 'owner' ? OWNER_PAUSE_MS : BROKER_PAUSE_MS),
  });
  const information = new GatewayInformation(config.discord.apiUrl, token, log);
  const gate = new IdentifyGate(information, new ExclusiveQueueMutex(leaseConnection, identifyQueue, log), log);
  const { intents, compression, shardsPerTask } = config.discord;
  const ingestor = new Ingestor({
    ...{ connection, token, information, gate, intents, compression, metrics, log },
    marks: config.outbox,
    // Shards are there only when the keeper is, which gives them out.
    certain: async (signal) => await keeper?.certain(signal),
    begun: () => keeper?.storeNow(),
  });
  const depths = new QueueDepths(connection, Object.values(QUEUES), log);

  const snapshot = (): HealthSnapshot => {
    const { count, bytes } = ingestor.publisher.outbox;
    return {
      now: Date.now(),
      environment: config.environment,
      shardCount,
      group: keeper?.group,
      role: stopping.signal.aborted ? 'draining' : keeper?.role === 'owner' ? 'owner' : 'standby',
      shards: ingestor.shards.map(({ shard, session }) => ({
        id: shard.id,
        state: shard.state,
        connected: shard.connected,
        latencyMs: shard.latencyMs,
        problem: shard.problem,
        identifyingSince: shard.identifyingSince,
        confirmedSequence: session.record?.sequence,
        receivedSequence: session.record === undefined ? undefined : session.watermark.received,
      })),
      receiving: ingestor.receiving,
      discordProblems: [token.problem, information.problem, gate.closed].filter((problem) => problem !== undefined),
      discord: {
        tokenMissing: token.missing,
        restLimited: information.limited,
        identifyClosed: gate.closed !== undefined,
        maxConcurrency: information.latest?.session_start_limit.max_concurrency ?? 1,
      },
      broker: {
        connected: connection.connected && leaseConnection.connected,
        channelOpen: ingestor.publisher.channelOpen,
        blocked: connection.blocked,
        publishCount: ingestor.publisher.publishCount,
        errorCount: ingestor.publisher.errorCount,
        lastTurnAt: Math.min(connection.lastTurnAt, leaseConnection.lastTurnAt),
      },
      outbox: { events: count, bytes, usedPercent: 100 * fullness({ count, bytes }, config.outbox) },
      identifies: { remaining: information.latest?.session_start_limit.remaining, spentUntil: gate.spentUntil },
      lease: keeper?.detail ?? {},
      memory: { ...memory(), heapLimit: getHeapStatistics().heap_size_limit },
      memoryThreshold: config.memoryThreshold,
    };
  };
  declareGauges(metrics, snapshot, depths, information);
  const server = await listen(config.http, snapshot, metrics);
  log.info({ port: server.port, host: config.http.host }, 'the ingestor is starting');
  const emf = setInterval(
    () => print(metrics.emf(config.metricsNamespace, config.environment)),
    METRICS_PERIOD_SECONDS * 1_000,
  );

  const drained = Promise.withResolvers<number>();
  const drain = async (signal: NodeJS.Signals) => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    log.info({ signal }, 'draining: no more events are received, and what is received is confirmed');
    const deadline = AbortSignal.timeout((DRAIN_DEADLINE_SECONDS - RELEASE_SECONDS) * 1_000);
    // First of all, so that a standby that drains does not become an owner meanwhile.
    await keeper?.retire();
    await ingestor.stopReceiving();
    await ingestor.publisher.drained(deadline);
    await keeper?.release();
    // The next owner is at work by now; only the right to IDENTIFY is kept from it until Discord grants another.
    if (leaseConnection.connected) await gate.spaced();
    const left = ingestor.publisher.outbox.count;
    ingestor.publisher.close();
    depths.stop();
    clearInterval(emf);
    await Promise.all([connection.close(), leaseConnection.close(), server.close()]);
    if (left > 0) log.error({ events: left }, 'not everything was confirmed in time: the next owner has it replayed');
    else log.info('drained');
    drained.resolve(left > 0 ? 1 : 0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void drain(signal));

  for (const each of [connection, leaseConnection])
    each.on('open', () => {
      if (each.reconnects > 0) metrics.add('brokerReconnects');
    });
  connection.start();
  depths.start();
  // Before the lease, so that a standby has everything at hand when its turn comes: the token is read and accepted,
  // Discord's address is known. Discord may be away, which is no reason to wait.
  information.fetch(stopping.signal).catch(() => undefined);
  shardCount = await decideShardCount(config, information, stopping.signal);
  if (shardCount !== undefined && !stopping.signal.aborted) {
    keeper = leaseKeeper({ ingestor, connection: leaseConnection, shardCount, shardsPerTask, me, log, metrics });
    leaseConnection.start();
    keeper.start();
  }
  const code = await drained.promise;
  print(metrics.lastEmf(config.metricsNamespace, config.environment));
  process.exit(code);
}

function leaseKeeper({
  ingestor,
  connection,
  shardCount,
  shardsPerTask,
  me,
  log,
  metrics,
}: {
  ingestor: Ingestor;
  connection: BrokerConnection;
  shardCount: number;
  shardsPerTask: number;
  me: string;
  log: Log;
  metrics: Metrics;
}): LeaseKeeper {
  return new LeaseKeeper({
    connection,
    groups: Math.ceil(shardCount / shardsPerTask),
    me,
    log,
    contents: () => ({
      division: { shardCount, shardsPerTask },
      sessions: ingestor.sessions,
      untoldGaps: ingestor.untoldGaps,
    }),
    own: async (group, record, unreadable) =>
      ingestor.own(takeOver({ group, shardCount, shardsPerTask, record, unreadable })),
    abandon: async (record) => await ingestor.abandon(abandonedBy(record), record.untoldGaps),
    disown: async () => {
      metrics.add('leaseLosses');
      await ingestor.disown();
    },
    committed: () => metrics.add('leaseCommits'),
  });
}

async function decideShardCount(
  config: Config,
  information: GatewayInformation,
  signal: AbortSignal,
): Promise<number | undefined> {
  if (config.discord.shardCount !== 'auto') return config.discord.shardCount;
  return information.fetch(signal).then(
    ({ shards }) => shards,
    () => undefined,
  );
}

function print(lines: readonly string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}

function memory() {
  const { heapUsed, heapTotal, rss } = process.memoryUsage();
  return { heapUsed, heapTotal, rss };
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigError([`${ENV.rabbitmqCaFile}: expected a readable PEM file, got ${errorMessage(error)}`]);
  }
}

try {
  await run(parseConfig(process.env));
} catch (error) {
  // Before the configuration is read there is no log: the same shape, by hand.
  for (const fault of error instanceof ConfigError ? error.faults : [errorMessage(error)])
    process.stdout.write(`${JSON.stringify({ level: 'fatal', time: new Date().toISOString(), msg: fault })}\n`);
  process.exit(error instanceof ConfigError ? EXIT_CONFIG : 1);
}
