// Publishes the messages for one queue on a confirm channel of its own: persistent, mandatory, with priority. Only the broker's
// confirm settles a message; `publish()` returning false is flow control. Which message is written, and when: lane.ts.
//
//   closed:  no connection; messages wait in the outbox. `open` → opening
//   opening: a channel is opened, again after a backoff if that fails → writing
//   writing: what the lane gives is written while the socket takes it. Channel closed → opening; connection lost → closed
//
// With its first message a channel looks for the leader of its queue, for up to 65 s: RabbitMQ asks the leader that it knows
// for as long as the net tick time and 5 s, even one that is cut off from it (rabbit_fifo_client, `enqueue/4`). Another
// channel looks again, so a channel that gets no confirm while others do is replaced, after longer each time.

import { type ChannelModel, type ConfirmChannel, IllegalOperationError, type Options } from 'amqplib';
import { MAX_MESSAGE_BYTES } from '../contract/limits.ts';
import { EXCHANGES, type WorkerQueue } from '../contract/names.ts';
import type { Log } from '../log.ts';
import { backoffMs, sleep } from '../wait.ts';
import { closeCause } from './channel-close.ts';
import { Lane, MOST_CLOSES } from './lane.ts';
import type { Message } from './message.ts';
import type { Entry } from './outbox.ts';
import { smaller } from './smaller.ts';

/** Called for each message. */
export interface PublisherListener {
  /** The broker takes messages again. */
  flowing(): void;
  published(): void;
  confirmed(messageType: string): void;
  /** By the broker: the message, or the channel. */
  refused(): void;
  /** It is too large, the broker closes the channel over it, or it cannot be written. */
  dropped(): void;
  returned(): void;
}

export interface LaneListener extends PublisherListener {
  /** The broker has confirmed some. */
  acked(): void;
  /** Some have left the outbox. */
  left(): void;
}

interface LaneOptions {
  readonly queue: WorkerQueue;
  /** The broker reads no publishes. */
  readonly blocked: () => boolean;
  /** The largest body that this broker takes, as far as one of its channels has learnt it. */
  readonly limit: { maxBytes: number };
  readonly listener: LaneListener;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** More than AMQP's properties and headers add to a body. */
const PROPERTY_BYTES = 512;

/** Until the first replacement of a channel that gets no confirm; then twice as long each time. */
const FIRST_REPLACED_MS = 5_000;
const LONGEST_REPLACED_MS = 60_000;

interface OpenChannel {
  readonly model: ChannelModel;
  readonly channel: ConfirmChannel;
  /** Since when the broker owes an answer, if anything is unanswered, Unix ms. */
  waitsSince: number;
  /** The socket asked to wait for its `drain`. */
  full: boolean;
}

export class LaneChannel {
  readonly #options: LaneOptions;
  readonly #log: Log;
  readonly #lane = new Lane<Message>();
  #model: ChannelModel | undefined;
  #open: OpenChannel | undefined;
  /** A message is made smaller: those behind it wait. */
  #makingSmaller = false;
  /** Since when nothing was confirmed, Unix ms, if the queue is stuck. */
  #stuckSince: number | undefined;
  /** Without a confirm, until the channel is replaced. */
  #replacedMs = FIRST_REPLACED_MS;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#log = options.log.child({ queue: options.queue });
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  get flowing(): boolean {
    return this.isOpen && !this.#lane.holding && !this.#options.blocked();
  }

  get isStuck(): boolean {
    return this.#stuckSince !== undefined;
  }

  get isRefused(): boolean {
    return this.#lane.refusals > 0 && this.#lane.outbox.oldest !== undefined;
  }

  get lane(): Pick<Lane<Message>, 'outbox' | 'unanswered' | 'confirmedAt'> {
    return this.#lane;
  }

  publish(message: Message, settled: () => void): void {
    this.#lane.outbox.add(message, bytesOf(message), Date.now(), settled);
    this.#write();
  }

  open(model: ChannelModel): void {
    if (this.#model !== undefined) throw new Error('expected a lane to be closed before it opens on a connection');
    this.#model = model;
    this.#replacedMs = FIRST_REPLACED_MS;
    void this.#openChannel(model);
  }

  /** The connection is lost, or the task ends. */
  close(): void {
    this.#model = undefined;
    this.#open = undefined;
    this.#lane.channelLost();
  }

  flow(): void {
    this.#write();
    if (this.flowing) this.#options.listener.flowing();
  }

  /**
   * Reports a queue that is stuck: nothing of it was confirmed for `stuckMs`. Before that its channel is replaced.
   * @param since when the broker could begin to confirm, Unix ms
   * @param othersAt when the broker last confirmed anything on this connection, Unix ms
   */
  check(now: number, since: number, stuckMs: number, othersAt: number): void {
    const { outbox, confirmedAt, refusals } = this.#lane;
    if (outbox.oldest === undefined) this.#stuckSince = undefined;
    if (outbox.oldest === undefined || now - othersAt >= stuckMs) return;
    const silentSince = Math.max(since, outbox.oldest.addedAt, confirmedAt);
    if (!this.isStuck && now - silentSince >= stuckMs) {
      this.#stuckSince = silentSince;
      this.#log.error(
        { seconds: seconds(now - silentSince), events: outbox.count, refusals },
        'a queue confirms nothing (it has no majority, or is full): its events wait in the outbox',
      );
    }
    const open = this.#open;
    if (open !== undefined && othersAt - Math.max(since, open.waitsSince) >= this.#replacedMs) this.#replace(open);
  }

  #replace(open: OpenChannel): void {
    if (this.#lane.unanswered === 0) return;
    this.#log.warn({ seconds: seconds(this.#replacedMs) }, 'a channel gets no confirm: opening another');
    this.#replacedMs = Math.min(2 * this.#replacedMs, LONGEST_REPLACED_MS);
    this.#open = undefined;
    this.#lane.channelLost();
    open.channel.close().catch(() => undefined);
    void this.#openChannel(open.model);
  }

  async #openChannel(model: ChannelModel): Promise<void> {
    let failures = 0;
    while (this.#model === model && !this.#options.signal.aborted) {
      try {
        const channel = await model.createConfirmChannel();
        if (this.#model === model) this.#use({ model, channel, waitsSince: Date.now(), full: false });
        return;
      } catch (err) {
        failures += 1;
        this.#log.warn({ failures, err }, 'cannot open a channel; retrying');
        await this.#pause(backoffMs(failures));
      }
    }
  }

  #use(open: OpenChannel): void {
    const { channel } = open;
    channel.on('drain', () => {
      open.full = false;
      this.#write();
    });
    channel.on('ack', ({ deliveryTag, multiple }) => this.#acked(open, deliveryTag, multiple));
    channel.on('nack', ({ deliveryTag, multiple }) => this.#nacked(open, deliveryTag, multiple));
    channel.on('return', ({ fields, properties }) => this.#returned(fields.routingKey, properties.messageId));
    channel.on('error', (err: Error) => this.#channelError(err));
    channel.on('close', () => this.#channelLost(open));
    this.#open = open;
    this.flow();
  }

  #channelError(err: Error): void {
    const { limit, listener } = this.#options;
    const cause = closeCause(err);
    const isNewLimit = cause.kind === 'too large' && cause.mostBytes < limit.maxBytes;
    if (cause.kind !== 'too large') {
      listener.refused();
      this.#log.error({ err }, 'the broker closed the channel (if something is missing: apply the topology)');
    } else if (isNewLimit) {
      // Written again, the message is made smaller.
      limit.maxBytes = cause.mostBytes;
      const sizes = { mostBytes: limit.maxBytes, expected: MAX_MESSAGE_BYTES };
      this.#log.warn(sizes, "this broker's max_message_size is smaller than ours");
    }
    // A close that only reports the limit does not count: the message is made smaller, unless the connection is lost before.
    const givenUp = cause.kind === 'topology' || isNewLimit ? undefined : this.#lane.closedOver();
    if (givenUp === undefined) return;
    this.#dropped(givenUp, 'dropped a message over which the broker closes the channel', { closes: MOST_CLOSES, err });
    listener.left();
  }

  /** Opens another after a pause, while the connection is open: the cause may still be there. */
  #channelLost(open: OpenChannel, err?: unknown): void {
    if (this.#open !== open) return;
    this.#open = undefined;
    this.#lane.channelLost();
    if (err !== undefined) this.#log.warn({ err }, 'cannot write to the channel');
    if (this.#model === open.model) void this.#reopen(open.model);
  }

  async #reopen(model: ChannelModel): Promise<void> {
    await this.#pause(backoffMs(this.#lane.refusals + 1));
    // A lost connection closes its channels before it emits `lost`: that is no refusal.
    if (this.#model !== model) return;
    this.#lane.channelRefused();
    await this.#openChannel(model);
  }

  #write(): void {
    const open = this.#open;
    if (open === undefined || this.#makingSmaller) return;
    const { blocked, limit, listener } = this.#options;
    while (!open.full && !blocked()) {
      const entry = this.#lane.next();
      if (entry === undefined) return;
      const { message } = entry;
      if (message.body.length > limit.maxBytes) return void this.#makeSmaller(entry);
      try {
        open.full = !open.channel.publish(EXCHANGES.events, message.routingKey, message.body, propertiesOf(message));
      } catch (error) {
        // The channel is closed, and its `close` event has yet to come.
        if (error instanceof IllegalOperationError) return void this.#channelLost(open, error);
        // Before a byte was written. Kept, the message would stop everything behind it.
        this.#dropped(message, 'dropped a message that cannot be written', { err: error });
        this.#settle(entry);
        continue;
      }
      this.#lane.written(entry);
      if (this.#lane.unanswered === 1) open.waitsSince = Date.now();
      listener.published();
    }
  }

  async #makeSmaller(entry: Entry<Message>): Promise<void> {
    const { message } = entry;
    this.#makingSmaller = true;
    const made = await smaller(message, this.#options.limit.maxBytes).catch(() => []);
    this.#makingSmaller = false;
    if (made.length === 0) {
      // Its size is Discord's choice: no release causes it, so it does not count as a refusal.
      const mostBytes = this.#options.limit.maxBytes;
      this.#dropped(message, 'dropped a message that is too large for the broker', { mostBytes });
      this.#settle(entry);
    } else {
      const parts = made.map((each) => ({ message: each, bytes: bytesOf(each) }));
      this.#lane.outbox.replace(entry, parts);
    }
    this.#write();
  }

  #settle(entry: Entry<Message>): void {
    this.#lane.outbox.confirm(entry);
    this.#options.listener.left();
  }

  #dropped({ messageId, type, body }: Message, why: string, fields: object): void {
    this.#options.listener.dropped();
    this.#log.error({ eventId: messageId, eventType: type, bytes: body.length, ...fields }, why);
  }

  #acked(open: OpenChannel, tag: number, multiple: boolean): void {
    if (this.#open !== open) return;
    const { listener } = this.#options;
    const now = Date.now();
    this.#replacedMs = FIRST_REPLACED_MS;
    // After they left the outbox: the listener may read how full it is.
    for (const { type } of this.#lane.acked(tag, multiple, now)) listener.confirmed(type);
    listener.acked();
    listener.left();
    if (this.#stuckSince !== undefined) {
      this.#log.info({ seconds: seconds(now - this.#stuckSince) }, 'the queue confirms again');
      this.#stuckSince = undefined;
    }
    this.#answered(open);
    this.#write();
  }

  #nacked(open: OpenChannel, tag: number, multiple: boolean): void {
    if (this.#open !== open) return;
    const wasHolding = this.#lane.holding;
    const refused = this.#lane.nacked(tag, multiple);
    const [first] = refused;
    if (first === undefined) return;
    for (const _ of refused) this.#options.listener.refused();
    if (!wasHolding)
      this.#log.warn(
        { eventId: first.messageId, eventType: first.type, refusals: this.#lane.refusals },
        'the broker refused a message (its queue is full, or has no majority); publishing it again after a pause',
      );
    this.#answered(open);
  }

  #answered(open: OpenChannel): void {
    open.waitsSince = Date.now();
    if (!this.#lane.isAnswered) return;
    void this.#pause(backoffMs(this.#lane.refusals)).then(() => {
      if (this.#open !== open) return;
      this.#lane.resume();
      this.flow();
    });
  }

  #returned(routingKey: string, eventId: unknown): void {
    this.#options.listener.returned();
    this.#log.error({ eventId, routingKey }, 'no queue takes this message: apply the topology');
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, this.#options.signal).catch(() => undefined);
  }
}

const bytesOf = ({ body }: Message): number => body.length + PROPERTY_BYTES;

const seconds = (ms: number): number => Math.round(ms / 1_000);

/** AMQP's properties. */
export function propertiesOf(message: Message): Options.Publish {
  return {
    persistent: true,
    mandatory: true,
    contentType: 'application/json',
    contentEncoding: message.contentEncoding ?? 'utf-8',
    appId: 'discord-gateway-ingestor',
    priority: message.priority,
    expiration: message.expirationMs,
    messageId: message.messageId,
    correlationId: message.correlationId,
    type: message.type,
    timestamp: message.timestamp,
    headers: message.headers,
  };
}
