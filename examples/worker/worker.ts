// A worker to copy: takes interactions from RabbitMQ, answers each once (answer.ts) and acknowledges it. What it cannot
// answer goes to the queue dead-letters. It outlives restarts of the broker and changes of its login. On SIGTERM it takes
// nothing more, finishes what it has, and ends with exit code 0.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib';
import { begin, interactionOf, isAnswered } from './answer.ts';

/** Messages at work at once: more if the work mostly waits, fewer if it computes. */
const PREFETCH = 50;
/** Discord waits 3 s for the first answer; some of them pass on the way. */
const DEFER_AFTER_MS = 2_000;
const REFUSE_AFTER_MS = 2_500;
const TRIES = 3;
/** The broker may not answer a request, for example in a memory alarm. */
const REQUEST_MS = 5_000;
/** Ids that are kept to recognise repeats: some minutes of a busy bot. */
const MOST_IDS = 10_000;

/** The fields of the message that this worker uses. */
interface DiscordEvent {
  readonly eventId: string;
  readonly eventType: string;
  /** When Discord's event came, Unix ms. */
  readonly timestamp: number;
  readonly interactionToken: string;
  readonly data: object;
}
type Headers = Readonly<Record<string, unknown>>;

const outcomes = new Map<string, Promise<boolean>>();
const running = new Set<Promise<void>>();
const stopping = new AbortController();
let presenceSent = false;
let failures = 0;

/** Handles an event once: a repeat gets the outcome of the first, which may still run. */
export function once(id: string, handle: () => Promise<boolean>, most = MOST_IDS): Promise<boolean> {
  if (outcomes.has(id)) log('repeat', { eventId: id });
  const outcome = outcomes.get(id) ?? handle();
  outcomes.set(id, outcome);
  const [oldest = ''] = outcomes.keys();
  if (outcomes.size > most) outcomes.delete(oldest);
  // A dead letter that is published again is no repeat.
  void outcome.catch(() => false).then((isAnswered) => isAnswered || outcomes.delete(id));
  return outcome;
}

/** @returns why it failed */
async function failureOf({ eventId, timestamp, interactionToken, data }: DiscordEvent): Promise<string | undefined> {
  const ageMs = Date.now() - timestamp;
  if (ageMs < -500) log('from the future: is the clock synchronised (NTP)?', { eventId, ageMs });
  if (ageMs > REFUSE_AFTER_MS)
    return 'too old: Discord takes no answer any more, or the clock is not synchronised (NTP)';
  let send: (() => Promise<unknown>) | undefined;
  for (let tries = 1; ; tries += 1)
    try {
      send ??= begin(interactionOf({ ...data, token: interactionToken }), timestamp + DEFER_AFTER_MS);
      await send();
      return undefined;
    } catch (error) {
      if (isAnswered(error)) return undefined;
      log('try failed', { eventId, tries, error: String(error) });
      if (tries === TRIES) return String(error);
      await sleep(200 * tries);
    }
}

/** In the trace that the ingestor began: OpenTelemetry's SDK, where it is loaded, exports the span. */
async function handle(event: DiscordEvent, headers: Headers): Promise<boolean> {
  const { eventId, eventType, timestamp } = event;
  return await trace
    .getTracer('discord-worker')
    .startActiveSpan(eventType, { kind: SpanKind.CONSUMER }, traceOf(headers), async (span) => {
      const failure = await failureOf(event);
      const { traceId } = span.spanContext();
      const message = failure === undefined ? 'answered' : 'to dead-letters';
      log(message, { eventId, eventType, traceId, ageMs: Date.now() - timestamp, failure });
      if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
      span.end();
      return failure === undefined;
    });
}

/** Parses W3C's header here, because the API without an SDK has no propagator. */
function traceOf({ traceparent }: Headers): Context {
  const [, traceId = '', spanId = '', flags = '0'] = /^00-(\w{32})-(\w{16})-(\w{2})$/.exec(String(traceparent)) ?? [];
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number(`0x${flags}`), isRemote: true });
}

async function take(channel: Channel, message: ConsumeMessage): Promise<void> {
  let isHandled = false;
  try {
    const event = JSON.parse(String(message.content)) as DiscordEvent;
    isHandled = await once(event.eventId, () => handle(event, message.properties.headers ?? {}));
  } catch (error) {
    log('to dead-letters', { messageId: message.properties.messageId, failure: String(error) });
  }
  try {
    if (isHandled) channel.ack(message);
    else channel.nack(message, false, false);
  } catch {
    // The channel has closed: the broker delivers the message again, and that is a repeat.
  }
}

/** Resolves when the connection has ended, or all is finished after SIGTERM. */
async function consume(): Promise<void> {
  const connection = await newConnection('worker');
  const ended = Promise.withResolvers<unknown>();
  connection.on('error', ended.resolve).on('close', ended.resolve);
  try {
    const channel = await connection.createChannel();
    channel.on('error', ended.resolve).on('close', ended.resolve);
    await channel.prefetch(PREFETCH);
    const { consumerTag } = await channel.consume('interactions', (message) => {
      if (message === null) return ended.resolve('the queue was deleted');
      const work = take(channel, message).finally(() => running.delete(work));
      running.add(work);
    });
    log('consuming');
    failures = 0;
    if (!presenceSent) void sendPresence().catch((error) => log('no presence', { error: String(error) }));
    stopping.signal.onabort = () => ended.resolve('stopping');
    if (stopping.signal.aborted) ended.resolve('stopping');
    const reason = String(await ended.promise);
    if (stopping.signal.aborted) await inTime(channel.cancel(consumerTag));
    log('consuming no more', { reason });
    if (!stopping.signal.aborted) return;
    await Promise.all(running);
    // The close of a connection overtakes acknowledgements; that of their channel does not.
    await inTime(channel.close());
  } finally {
    // Not awaited: it does not settle when the socket ends first.
    connection.close().catch(() => undefined);
  }
}

/**
 * Through the ingestor, which runs the shards. The presence stays until another one is sent. It has its own connection: the
 * broker closes the channel of a command that it refuses, and in an alarm reads no connection that publishes.
 */
async function sendPresence(): Promise<void> {
  presenceSent = true;
  const connection = await newConnection('worker, presence');
  try {
    const channel = await connection.createConfirmChannel();
    const confirmed = Promise.withResolvers<void>();
    channel.on('error', confirmed.reject);
    const activities = [{ name: '/ping', type: 2 }];
    const command = { command: 'update_presence', data: { status: 'online', activities } };
    const options = { persistent: true, timestamp: Math.floor(Date.now() / 1_000) };
    channel.publish('discord.commands', 'shard.all', Buffer.from(JSON.stringify(command)), options, (error) =>
      error ? confirmed.reject(error) : confirmed.resolve(),
    );
    await confirmed.promise;
  } finally {
    connection.close().catch(() => undefined);
  }
}

async function newConnection(name: string): Promise<ChannelModel> {
  const url = await login();
  url.searchParams.set('heartbeat', '10');
  const connection = await connect(String(url), { timeout: 10_000, clientProperties: { connection_name: name } });
  return connection.on('error', (error) => log('connection lost', { name, error: String(error) }));
}

const inTime = (answer: Promise<unknown>) => Promise.race([answer, sleep(REQUEST_MS, undefined, { ref: false })]);

/** Read before each connection, because logins are rotated. */
async function login(): Promise<URL> {
  const { RABBITMQ_URL_FILE: file, RABBITMQ_URL: url = '' } = process.env;
  return new URL(file === undefined ? url : (await readFile(file, 'utf8')).trim());
}

/** Before the next connection: twice as long after each failure, and not at the same moment as other workers. */
export const pauseMs = (failures: number, random = Math.random()): number =>
  Math.min(30_000, 500 * 2 ** failures) * (0.5 + random / 2);

/** Never the interaction's token: it is a credential. */
function log(message: string, fields: object = {}): void {
  console.log(JSON.stringify({ time: new Date().toISOString(), message, ...fields }));
}

if (import.meta.main) {
  for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => stopping.abort());
  // The reader of the logs is gone, and with it the process that started this one.
  process.stdout.on('error', () => stopping.abort());
  await login().catch(() => {
    console.error('RABBITMQ_URL, or the file RABBITMQ_URL_FILE: expected amqps://user:password@host:5671/discord');
    process.exit(1);
  });
  for (; !stopping.signal.aborted; failures += 1) {
    await consume().catch((error: unknown) => log('no connection', { error: String(error) }));
    await sleep(pauseMs(failures), undefined, { signal: stopping.signal }).catch(() => undefined);
  }
  await Promise.all(running);
  // The close of a connection may stay without answer too.
  setTimeout(() => process.exit(), REQUEST_MS).unref();
}
