// A worker to copy: takes interactions from RabbitMQ, answers each once (answer.ts), and acknowledges what is done. What it
// cannot answer goes to the queue dead-letters. It outlives restarts of the broker and changes of its login.
// SIGTERM: it takes nothing more, finishes what it has, and ends with exit code 0.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib';
import type { Interaction } from 'discord.js';
import { answer, interactionOf, isAnswered } from './answer.ts';

const QUEUE = 'interactions';
/** Messages at work at once. More, if the work mostly waits; fewer, if it computes. */
const PREFETCH = 50;
/** Discord waits 3 s for the first answer. The rest of them is for the way there. */
const DEFER_AFTER_MS = 2_000;
const REFUSE_AFTER_MS = 2_500;
const TRIES = 3;
/** Before the second try; before the third twice as long. */
const PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 30_000;
/** Ids of events kept to recognise repeats: some minutes of a busy bot. */
const MOST_IDS = 10_000;
const PRESENCE = { status: 'online', activities: [{ name: '/ping', type: 2 }] };

/** Of the envelope, what this worker uses. */
interface DiscordEvent {
  readonly eventId: string;
  readonly eventType: string;
  /** When the ingestor received it, Unix ms. */
  readonly timestamp: number;
  readonly interactionToken: string;
  readonly data: object;
}

/** Handles each id once. A repeat gets the outcome of the first, which may still run. */
export class Once {
  readonly #outcomes = new Map<string, Promise<boolean>>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param handle whether it succeeded; if not, the id is forgotten, so that a replayed dead letter is handled again */
  do(id: string, handle: () => Promise<boolean>): Promise<boolean> {
    const first = this.#outcomes.get(id);
    if (first !== undefined) return first;
    const outcome = handle();
    this.#outcomes.set(id, outcome);
    const [oldest = ''] = this.#outcomes.keys();
    if (this.#outcomes.size > this.#most) this.#outcomes.delete(oldest);
    void outcome.then((succeeded) => succeeded || this.#outcomes.delete(id));
    return outcome;
  }
}

const tracer = trace.getTracer('discord-worker');
const once = new Once(MOST_IDS);
const running = new Set<Promise<void>>();
const stopping = new AbortController();
let presenceSent = false;

/** @returns whether to acknowledge it; otherwise it is a dead letter */
async function handle(event: DiscordEvent, headers: Readonly<Record<string, unknown>>): Promise<boolean> {
  const { eventId, eventType, timestamp, interactionToken, data } = event;
  const options = { kind: SpanKind.CONSUMER, attributes: { 'messaging.message.id': eventId } };
  return await tracer.startActiveSpan(eventType, options, parentOf(headers), async (span) => {
    const note = (message: string, fields: object = {}) =>
      log(message, {
        eventId,
        eventType,
        traceId: span.spanContext().traceId,
        ageMs: Date.now() - timestamp,
        ...fields,
      });
    let failure = Date.now() - timestamp > REFUSE_AFTER_MS ? 'too old: Discord takes no answer any more' : undefined;
    let isDone = false;
    // Kept for the next try, since it knows whether it was deferred.
    let interaction: Interaction | undefined;
    for (let tries = 1; !isDone && failure === undefined; tries += 1) {
      try {
        interaction ??= interactionOf({ ...data, token: interactionToken });
        await answer(interaction, timestamp + DEFER_AFTER_MS);
        isDone = true;
      } catch (error) {
        isDone = isAnswered(error);
        if (!isDone) note('try failed', { tries, error: String(error) });
        if (tries === TRIES) failure = String(error);
        else await sleep(PAUSE_MS * tries);
      }
    }
    if (isDone) note('answered');
    else note('to dead-letters', { failure });
    if (!isDone) span.setStatus({ code: SpanStatusCode.ERROR, ...(failure && { message: failure }) });
    span.end();
    return isDone;
  });
}

/** The trace that the ingestor began: W3C's header. Without OpenTelemetry's SDK it is only in the logs. */
function parentOf({ traceparent }: Readonly<Record<string, unknown>>): Context {
  const [, traceId, spanId, flags = ''] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(String(traceparent)) ?? [];
  if (traceId === undefined || spanId === undefined) return ROOT_CONTEXT;
  const traceFlags = Number.parseInt(flags, 16);
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

async function isHandled({ content, properties }: ConsumeMessage): Promise<boolean> {
  let isRepeat = true;
  try {
    const event = JSON.parse(content.toString()) as DiscordEvent;
    const outcome = once.do(event.eventId, () => {
      isRepeat = false;
      return handle(event, properties.headers ?? {});
    });
    if (isRepeat) log('repeat', { eventId: event.eventId });
    return await outcome;
  } catch (error) {
    log('to dead-letters', { messageId: properties.messageId, failure: String(error) });
    return false;
  }
}

function take(channel: ConfirmChannel, message: ConsumeMessage): void {
  const work = isHandled(message)
    .then((handled) => (handled ? channel.ack(message) : channel.nack(message, false, false)))
    // The channel has closed meanwhile: the broker delivers it again, and that is a repeat.
    .catch((error: unknown) => log('not acknowledged', { error: String(error) }))
    .finally(() => running.delete(work));
  running.add(work);
}

/** Resolves when the connection has ended, or when all is finished after SIGTERM. */
async function consume(opened: () => void): Promise<void> {
  const url = await login();
  url.searchParams.set('heartbeat', '10');
  const connection = await connect(String(url), { timeout: 10_000, clientProperties: { connection_name: 'worker' } });
  const ended = Promise.withResolvers<unknown>();
  connection.on('error', ended.resolve).on('close', ended.resolve);
  try {
    const channel = await connection.createConfirmChannel();
    channel.on('error', ended.resolve).on('close', ended.resolve);
    await channel.prefetch(PREFETCH);
    const { consumerTag } = await channel.consume(QUEUE, (message) => {
      if (message === null) ended.resolve('the queue is gone');
      else take(channel, message);
    });
    log('consuming', { queue: QUEUE });
    opened();
    if (!presenceSent) sendPresence(channel);
    stopping.signal.onabort = () => ended.resolve('stopping');
    if (!stopping.signal.aborted) log('left', { reason: String(await ended.promise) });
    if (!stopping.signal.aborted) return;
    await channel.cancel(consumerTag);
    await Promise.all(running);
    // The close of a connection overtakes acknowledgements, that of their channel does not.
    await channel.close();
  } finally {
    // It does not settle when the socket ends first.
    await Promise.race([connection.close().catch(() => undefined), sleep(5_000, undefined, { ref: false })]);
  }
}

/** To Discord by way of the ingestor, which holds the shards. It stays until another one is sent. */
function sendPresence(channel: ConfirmChannel): void {
  const command = Buffer.from(JSON.stringify({ command: 'update_presence', data: PRESENCE }));
  const options = { persistent: true, timestamp: Math.floor(Date.now() / 1_000) };
  channel.publish('discord.commands', 'shard.all', command, options, (error) => {
    presenceSent = !error;
  });
}

/** Read before each connection, because logins are rotated. */
async function login(): Promise<URL> {
  const { RABBITMQ_URL_FILE: file, RABBITMQ_URL: url = '' } = process.env;
  return new URL(file === undefined ? url : (await readFile(file, 'utf8')).trim());
}

function log(message: string, fields: object): void {
  console.log(JSON.stringify({ time: new Date().toISOString(), message, ...fields }));
}

if (import.meta.main) {
  const { signal } = stopping;
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => stopping.abort());
  // Who reads the logs is gone, and with it whoever started this.
  process.stdout.on('error', () => stopping.abort());
  await login().catch(() => {
    console.error('RABBITMQ_URL, or the file in RABBITMQ_URL_FILE: expected amqps://user:password@host:5671/discord');
    process.exit(1);
  });
  for (let failures = 0; !signal.aborted; failures += 1) {
    await consume(() => {
      failures = 0;
    }).catch((error: unknown) => log('no connection', { error: String(error) }));
    const pauseMs = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  }
  await Promise.all(running);
}
