// One task: constructs everything, takes the snapshots for health and metrics, and drains when the process is asked to
// end. Only it constructs.

import { getHeapStatistics } from 'node:v8';
import type { ChannelModel } from 'amqplib';
import { Broadcast } from './amqp/broadcast.ts';
import { readCertificateAuthority } from './amqp/certificate-authority.ts';
import { ChannelSet } from './amqp/channel-set.ts';
import { ConfirmDeadline, publishClaim } from './amqp/confirm-deadline.ts';
import { BrokerConnection } from './amqp/connection.ts';
import { QueueConsumer } from './amqp/queue-consumer.ts';
import { QueueDepths } from './amqp/queue-depths.ts';
import { QueueMutex } from './amqp/queue-mutex.ts';
import { fullness } from './backpressure.ts';
import { CommandRelay } from './command-relay.ts';
import type { Config } from './config.ts';
import { DRAIN_DEADLINE_SECONDS } from './contract/limits.ts';
import { ENV, EXCHANGES, identifyQueue, LEASE_QUEUE_ARGUMENTS, QUEUES, statusQueue } from './contract/names.ts';
import { credential, parseBrokerLogin, parseTlsLogin, parseToken } from './credentials.ts';
import { drainOutbox } from './drain-outbox.ts';
import { ConfigError, errorMessage } from './errors.ts';
import { family } from './events/routing.ts';
import { EVERY_TASK, FleetStatus } from './fleet-status.ts';
import { GapReporter } from './gap-reporter.ts';
import { BotToken } from './gateway/bot-token.ts';
import { GatewayInformation } from './gateway/gateway-information.ts';
import { IdentifyGate } from './gateway/identify-gate.ts';
import { intentNames } from './gateway/intents.ts';
import { declareGauges } from './gauges.ts';
import type { HealthSnapshot } from './health.ts';
import { listen } from './http-server.ts';
import { Ingestor } from './ingestor.ts';
import { LeaseKeeper } from './lease/lease-keeper.ts';
import type { RedactedLog } from './log.ts';
import { startMetricLines } from './metric-lines.ts';
import { Metrics } from './metrics.ts';
import type { Output } from './output.ts';
import { Publisher } from './publisher/publisher.ts';
import { readOnce } from './read-once.ts';

/** The broker's clients are few, and Discord keeps sessions for minutes only: a broker that is back is not to wait long. */
const BROKER_PAUSE_MS = 5_000;
const OWNER_PAUSE_MS = 1_500;
/** What waits for one shard is not to keep those of the others in the queue. */
const UNSENT_COMMANDS = 1_000;
/** Of the drain's time: for the last record and for closing everything, with a broker that does not answer. */
const RELEASE_SECONDS = 10;

/** @param name unique to this process @returns the exit code, when the task has drained @throws ConfigError */
export async function runTask(
  config: Config,
  name: string,
  { log, hide }: RedactedLog,
  output: Output,
): Promise<number> {
  const parseLogin = config.production ? parseTlsLogin : parseBrokerLogin;
  const login = credential(config.broker.login, parseLogin, hide);
  const token = new BotToken(credential(config.discord.token, parseToken, hide), log);
  const { caFile } = config.broker;
  if (caFile !== undefined)
    await readCertificateAuthority(caFile).catch((error) => {
      throw new ConfigError([errorMessage(error)]);
    });
  const metrics = new Metrics();
  const stopping = new AbortController();

  let shardCount = config.discord.shardCount === 'auto' ? undefined : config.discord.shardCount;
  let keeper: LeaseKeeper<ChannelModel> | undefined;

  // Three connections: a broker in memory alarm blocks those that publish much, and the lease must not wait for them; and
  // what workers write can end the one of commands. And a fourth while a shard IDENTIFYs (queue-mutex.ts).
  const connectionOf = (purpose: string) =>
    new BrokerConnection({
      name: `${name} ${purpose}`,
      ...{ login, caFile, log },
      // Shorter than a standby's delay, so that the owner is back before it.
      longestPauseMs: () => (keeper?.role === 'owner' ? OWNER_PAUSE_MS : BROKER_PAUSE_MS),
    });
  const connection = connectionOf('publisher');
  const leaseConnection = connectionOf('lease');
  const commandConnection = connectionOf('commands');
  const isConnected = () => connection.connected || leaseConnection.connected;
  const identifyMutex = new QueueMutex(() => connectionOf('identify'), identifyQueue, log);
  const information = new GatewayInformation({ apiUrl: config.discord.apiUrl, ...{ token, metrics, log } });
  const gate = new IdentifyGate(information, identifyMutex, token, log);
  const publisher = new Publisher({
    ...{ connection, log },
    deadline: new ConfirmDeadline<ChannelModel>({
      connection,
      claim: (model) => publishClaim(model, keeper?.group ?? 0),
      log,
    }),
    listener: {
      published: () => metrics.add('eventsPublished'),
      confirmed: (type) => {
        metrics.addConfirmed(family(type));
        ingestor.applyBackpressure();
      },
      flowing: () => ingestor.applyBackpressure(),
      refused: () => metrics.add('publishErrors'),
      dropped: () => metrics.add('messagesDropped'),
      returned: () => metrics.add('eventsReturned'),
    },
  });
  const gaps = new GapReporter(publisher, metrics, log);
  const { apiUrl, intents, initialPresence, compression, shardsPerTask } = config.discord;
  const { choice, optIns } = config.events;
  const consumer = new QueueConsumer({
    ...{ connection: commandConnection, prefetch: UNSENT_COMMANDS, what: 'commands of workers', log },
  });
  const commands = new CommandRelay({ consumer, initialPresence, intents, metrics, log });
  const ingestor = new Ingestor({
    ...{ choice, optIns, publisher, gaps, commands, metrics, log },
    ...{ token, information, gate, intents, compression, apiUrl },
    bounds: config.outbox,
    // It has shards only once the keeper is there, which gives them to it.
    permission: async (signal, end) => (await keeper?.confirmLease(signal, end)) ?? 'unproven',
    onSessionStarted: () => keeper?.onSessionStarted(),
  });
  // A broker in memory alarm answers only where nothing is published.
  const depths = new QueueDepths(commandConnection, Object.values(QUEUES), log);

  const snapshot = () =>
    readOnce<HealthSnapshot>({
      now: () => Date.now(),
      environment: () => config.environment,
      shardCount: () => shardCount,
      group: () => keeper?.group,
      role: () => (stopping.signal.aborted ? 'draining' : keeper?.role === 'owner' ? 'owner' : 'standby'),
      shards: () =>
        ingestor.members.map(({ shard, session }) => ({
          id: shard.id,
          state: shard.state,
          connected: shard.connected,
          latencyMs: shard.latencyMs,
          problem: shard.problem,
          heardAt: shard.heardAt,
          lastEventAt: session.lastReceivedAt,
          identifyingSince: shard.identifyingSince,
          confirmedSequence: session.resumeState?.sequence,
          receivedSequence: session.resumeState === undefined ? undefined : session.watermark.received,
        })),
      receiving: () => ingestor.receiving,
      discordProblems: () =>
        [
          token.problem,
          information.problem,
          gate.problem,
          shardCount === undefined
            ? `waits for Discord to recommend a number of shards (${ENV.shardCount} is auto)`
            : undefined,
        ].filter((problem) => problem !== undefined),
      discord: () => ({
        tokenMissing: token.missing,
        restLimited: information.limited,
        identifyClosed: gate.closed !== undefined,
        maxConcurrency: information.latest?.session_start_limit?.max_concurrency ?? 1,
      }),
      broker: () => ({
        connected: connection.connected && leaseConnection.connected,
        channelOpen: publisher.channelOpen,
        blocked: connection.blocked,
        publishCount: publisher.publishCount,
        errorCount: publisher.errorCount,
        oldestUnconfirmedMs: publisher.oldestUnconfirmedMs,
        nothingConfirmedMs: publisher.nothingConfirmedMs,
        stuck: publisher.stuck,
        refusing: publisher.refusing,
        unprovenMs: keeper?.unprovenMs ?? 0,
      }),
      outbox: () => {
        const { count, bytes } = publisher.outbox;
        return { events: count, bytes, usedPercent: 100 * fullness({ count, bytes }, config.outbox) };
      },
      identifies: () => ({
        remaining: information.latest?.session_start_limit?.remaining,
        total: information.latest?.session_start_limit?.total,
        resetAt: information.resetAt,
        spentUntil: gate.spentUntil,
      }),
      lease: () => keeper?.detail ?? {},
      commands: () => commands.detail,
      memory: () => {
        const { heapUsed, heapTotal, rss } = process.memoryUsage();
        return { heapUsed, heapTotal, rss, heapLimit: getHeapStatistics().heap_size_limit };
      },
      memoryThreshold: () => config.memoryThreshold,
    });
  declareGauges(metrics, snapshot, depths, information, log);
  const lastAttemptAt = () => Math.min(connection.lastAttemptAt, leaseConnection.lastAttemptAt);
  const fleet: FleetStatus = new FleetStatus({
    ...{ name, shardsPerTask, environment: config.environment, snapshot, metrics, depths, gaps, log },
    publish: (key, body) => broadcast.publish(key, body),
  });
  const broadcast = new Broadcast({
    ...{ receiving: commandConnection, publishing: connection, log },
    ...{ exchange: EXCHANGES.status, queue: statusQueue(name) },
    routingKeys: [EVERY_TASK, name],
    onOpen: () => fleet.report(),
    onMessage: (body) => fleet.receive(body),
  });
  const server = await listen(config.http, { lastAttemptAt, snapshot, metrics, page: () => fleet.page() }, log);
  log.info({ port: server.port, host: config.http.host }, 'the ingestor is starting');
  log.info({ events: [...choice.dispatches], intents: intentNames(intents) }, 'these events are published');
  for (const [setting, forwarded, what] of [
    [ENV.forwardMessageContent, optIns.messageContent, 'the content of messages is forwarded to workers'],
    [ENV.forwardBotMessages, optIns.botMessages, 'messages of bots and webhooks are forwarded to workers'],
    [ENV.forwardDirectMessages, optIns.directMessages, 'what happens outside guilds is forwarded to workers'],
  ] as const)
    if (forwarded) log.warn({ setting }, what);
  const lines = startMetricLines(metrics, output, config);

  const drained = Promise.withResolvers<number>();
  const drain = async (why: object, exitCode: number) => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    log.info(why, 'draining: no more events are received, and what is received is confirmed');
    const deadline = AbortSignal.timeout((DRAIN_DEADLINE_SECONDS - RELEASE_SECONDS) * 1_000);
    // First of all, so that a standby that drains does not become an owner meanwhile.
    await keeper?.retire();
    await ingestor.stopReceiving();
    await drainOutbox(publisher, isConnected, deadline);
    await keeper?.release();
    // The next owner works by now; only the identify lock is kept from it until Discord allows another IDENTIFY.
    if (identifyMutex.holds) await gate.spaced();
    const left = publisher.outbox.count;
    publisher.close();
    depths.stop();
    fleet.leave();
    await broadcast.close();
    const connections = [connection, leaseConnection, commandConnection, identifyMutex];
    await Promise.all([...connections.map((each) => each.close()), server.close()]);
    if (left === 0) log.info('drained');
    else log.error({ events: left }, 'not everything was confirmed in time: the next owner has it replayed');
    drained.resolve(left === 0 ? exitCode : 1);
  };
  const end = (why: object, exitCode: number): void => {
    drain(why, exitCode).catch((err: unknown) => {
      log.error({ err }, 'a defect in the drain: the next owner has replayed what is not confirmed');
      drained.resolve(1);
    });
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => end({ signal }, 0));
  // Nothing that it does would be reported. Its successor has an output of its own.
  void output.gone.then((err) => end({ err }, 1));

  for (const each of [connection, leaseConnection])
    each.on('open', () => {
      if (each.reconnects > 0) metrics.add('brokerReconnects');
    });
  connection.on('unblocked', () => fleet.report());
  connection.start();
  commandConnection.start();
  depths.start();
  fleet.start();
  // Before the lease, so that a standby has everything when its turn comes: the token is read and accepted,
  // Discord's address is known. Discord may be away, which is no reason to wait.
  const fetched = information.fetch(stopping.signal).catch(() => undefined);
  void fetched.then(() => lines.atOnce());
  shardCount ??= (await fetched)?.shards;
  if (shardCount !== undefined && !stopping.signal.aborted) {
    let channels: ChannelSet | undefined;
    const deadline = new ConfirmDeadline<ChannelModel>({
      connection: leaseConnection,
      claim: (model) => publishClaim(model, keeper?.groupToClaim() ?? 0),
      onStuck: () => {
        const queues = channels?.unconfirmed ?? [];
        if (queues.length > 0) log.error({ queues }, 'a lease queue confirms nothing, and others do');
      },
      log,
    });
    keeper = new LeaseKeeper({
      ...{ me: name, shards: ingestor, gaps, metrics, log },
      shardLayout: { shardCount, shardsPerTask },
      connection: leaseConnection,
      brokerAway: () => !isConnected(),
      openChannels: async (model) => {
        const { leases: exchange } = EXCHANGES;
        channels = await ChannelSet.open(model, { exchange, queueArguments: LEASE_QUEUE_ARGUMENTS, deadline, log });
        return channels;
      },
    });
    leaseConnection.start();
    keeper.start();
  }
  const code = await drained.promise;
  lines.stop();
  return code;
}
