// The service: reads the environment, constructs everything, and runs until SIGTERM. Nothing else constructs, and
// nothing else reads `process.env`. Exit codes: 0 drained, 1 failed, 78 faulty configuration.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { BrokerConnection } from './amqp/connection.ts';
import { QueueDepths } from './amqp/queue-depths.ts';
import { fullness } from './backpressure.ts';
import { type Config, parseConfig } from './config.ts';
import { DRAIN_DEADLINE_SECONDS, ENV, EXIT_CONFIG, METRICS_PERIOD_SECONDS, QUEUES } from './contract.ts';
import { ConfigError, messageOf } from './errors.ts';
import { BotToken } from './gateway/bot-token.ts';
import { GatewayInformation } from './gateway/gateway-information.ts';
import { IdentifyGate, LocalBucketMutex } from './gateway/identify-gate.ts';
import { type HealthSnapshot, healthReport } from './health.ts';
import { listen } from './http-server.ts';
import { Ingestor } from './ingestor.ts';
import { createLog } from './log.ts';
import { Metrics } from './metrics.ts';
import { credential, parseBrokerLogin, parseToken } from './secrets.ts';

async function run(config: Config): Promise<void> {
  const { log, hide } = createLog({ level: config.logLevel, base: { environment: config.environment } });
  const login = credential(config.broker.login, ENV.rabbitmqUrl, parseBrokerLogin, hide);
  const token = new BotToken(credential(config.discord.token, ENV.discordBotToken, parseToken, hide), log);
  const ca = config.broker.caFile === undefined ? undefined : await readCa(config.broker.caFile);
  const metrics = new Metrics();
  const stopping = new AbortController();

  const connection = new BrokerConnection({ name: `ingestor ${config.environment} publisher`, login, ca, log });
  const information = new GatewayInformation(config.discord.apiUrl, token, log);
  const gate = new IdentifyGate(information, new LocalBucketMutex(), log);
  const { intents, compression } = config.discord;
  const ingestor = new Ingestor({
    connection,
    token,
    information,
    gate,
    intents,
    compression,
    metrics,
    log,
    marks: config.outbox,
  });
  const depths = new QueueDepths(connection, Object.values(QUEUES), log);
  let shardCount: number | undefined;

  const snapshot = (): HealthSnapshot => {
    const { count, bytes } = ingestor.publisher.outbox;
    return {
      now: Date.now(),
      environment: config.environment,
      shardCount,
      group: 0,
      role: stopping.signal.aborted ? 'draining' : 'owner',
      shards: ingestor.shards.map(({ shard, session }) => ({
        id: shard.id,
        state: shard.state,
        connected: shard.connected,
        latencyMs: shard.latencyMs,
        problem: shard.problem,
        confirmedSequence: session.record?.sequence,
        receivedSequence: session.record === undefined ? undefined : session.watermark.received,
      })),
      receiving: ingestor.receiving,
      discordProblems: [token.problem, information.problem, gate.closed].filter((problem) => problem !== undefined),
      broker: {
        connected: connection.connected,
        channelOpen: ingestor.publisher.channelOpen,
        blocked: connection.blocked,
        publishCount: ingestor.publisher.publishCount,
        errorCount: ingestor.publisher.errorCount,
        lastTurnAt: connection.lastTurnAt,
      },
      outbox: { events: count, bytes, usedPercent: 100 * fullness({ count, bytes }, config.outbox) },
      identifies: { remaining: information.latest?.session_start_limit.remaining, spentUntil: gate.spentUntil },
      lease: {},
      memory: { ...memory(), heapLimit: getHeapStatistics().heap_size_limit },
      memoryThreshold: config.memoryThreshold,
    };
  };
  declareGauges(metrics, snapshot, depths, information);
  const server = await listen(config.http, snapshot, metrics);
  log.info({ port: server.port, host: config.http.host }, 'the ingestor is starting');

  const drained = Promise.withResolvers<number>();
  let draining = false;
  const drain = async (signal: NodeJS.Signals) => {
    if (draining) return;
    draining = true;
    log.info({ signal }, 'draining: no more events are received, and what is received is confirmed');
    stopping.abort();
    const deadline = AbortSignal.timeout(DRAIN_DEADLINE_SECONDS * 1_000);
    await Promise.race([ingestor.stopReceiving(), sleep(DRAIN_DEADLINE_SECONDS * 1_000, undefined, { ref: false })]);
    await ingestor.publisher.drained(deadline);
    const left = ingestor.publisher.outbox.count;
    ingestor.publisher.close();
    depths.stop();
    await connection.close();
    await server.close();
    if (left > 0)
      log.error({ events: left }, 'could not confirm everything in time: the next owner has the rest replayed');
    else log.info('drained');
    drained.resolve(left > 0 ? 1 : 0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void drain(signal));

  const emf = setInterval(() => {
    for (const line of metrics.emf(config.metricsNamespace, config.environment)) process.stdout.write(`${line}\n`);
  }, METRICS_PERIOD_SECONDS * 1_000);
  emf.unref();

  connection.start();
  depths.start();
  shardCount = await decideShardCount(config, information, stopping.signal);
  if (!draining)
    ingestor.own(
      Array.from({ length: shardCount ?? 0 }, (_, id) => id),
      shardCount ?? 0,
      new Map(),
      Date.now(),
    );
  process.exitCode = await drained.promise;
  for (const line of metrics.emf(config.metricsNamespace, config.environment)) process.stdout.write(`${line}\n`);
  process.exit();
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

function declareGauges(
  metrics: Metrics,
  snapshot: () => HealthSnapshot,
  depths: QueueDepths,
  information: GatewayInformation,
): void {
  metrics.gauge('outboxEvents', () => snapshot().outbox.events);
  metrics.gauge('outboxBytes', () => snapshot().outbox.bytes);
  metrics.gauge('outboxUsed', () => snapshot().outbox.usedPercent);
  metrics.gauge('shardsAssigned', () => snapshot().shards.length);
  metrics.gauge('shardsConnected', () => snapshot().shards.filter(({ connected }) => connected).length);
  metrics.gauge('shardsMissing', () => snapshot().shards.filter(({ connected }) => !connected).length);
  metrics.gauge('shardsUnderprovisioned', () =>
    Math.max(0, (information.latest?.shards ?? 0) - (snapshot().shardCount ?? 0)),
  );
  metrics.gauge('gatewayLatency', () => healthReport(snapshot()).checks.discord.latency ?? Number.NaN);
  metrics.gauge('identifiesRemaining', () => snapshot().identifies.remaining ?? Number.NaN);
  metrics.gauge('brokerConnected', () => Number(snapshot().broker.channelOpen));
  metrics.gauge('brokerBlocked', () => Number(snapshot().broker.blocked));
  metrics.gauge('standby', () => Number(snapshot().role === 'standby'));
  metrics.gauge('heapUsed', () => (100 * snapshot().memory.heapUsed) / snapshot().memory.heapLimit);
  metrics.gauge('residentMemory', () => snapshot().memory.rss);
  metrics.gauge('queueDepth', () => depths.depths);
}

function memory() {
  const { heapUsed, heapTotal, rss } = process.memoryUsage();
  return { heapUsed, heapTotal, rss };
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigError([`${ENV.rabbitmqCaFile}: expected a readable PEM file, got ${messageOf(error)}`]);
  }
}

try {
  await run(parseConfig(process.env));
} catch (error) {
  // Before the configuration is read there is no log: the same shape, by hand.
  for (const fault of error instanceof ConfigError ? error.faults : [messageOf(error)])
    process.stdout.write(`${JSON.stringify({ level: 'fatal', time: new Date().toISOString(), msg: fault })}\n`);
  process.exit(error instanceof ConfigError ? EXIT_CONFIG : 1);
}
