// Publishes the outbox to the topic exchange, in order: persistent, mandatory, with priority, on a confirm channel.
// Only the broker's confirm settles a message; `publish()` returning false is flow control.
//
//   away:    no connection; messages gather in the outbox. The connection's `open` → opening
//   opening: a channel is opened, again after a backoff if that fails → writing
//   writing: messages are written while the socket takes them, at most `WINDOW` unanswered.
//            channel closed → opening; a nack → holding
//   holding: the broker refused a message. Nothing is written until everything written is answered and a backoff has
//            passed. Then everything unconfirmed is written again → writing: one message first, and then as many more
//            as were confirmed, so that a full queue gets few messages
//
// The order has one limit: a classic queue that refuses one message and takes a later one that was already written
// (because a consumer reads at that moment) has them in that order. A full quorum queue refuses until it is well below
// its bound, so that this was not seen there; and the topology's queues drop, they do not refuse.

import { type ChannelModel, type ConfirmChannel, IllegalOperationError, type Options } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { MAX_MESSAGE_BYTES } from '../contract/limits.ts';
import { EXCHANGES } from '../contract/names.ts';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { backoffMs, orAborted, sleep } from '../wait.ts';
import { Confirms } from './confirms.ts';
import type { Message } from './message.ts';
import { type Entry, Outbox } from './outbox.ts';

/** What the publisher needs of a connection. */
export interface PublisherConnection extends ConnectionEvents<ChannelModel> {
  readonly blocked: boolean;
  on(event: 'open', listener: (model: ChannelModel) => void): unknown;
  on(event: 'lost', listener: (cause: unknown) => void): unknown;
  on(event: 'unblocked', listener: () => void): unknown;
}

/** Called for each message, to count it. */
export interface PublisherListener {
  /** Messages leave again. */
  flowing(): void;
  published(): void;
  confirmed(messageType: string): void;
  /** By the broker, or it could not be written. */
  refused(): void;
  /** Too large for the broker. */
  dropped(): void;
  returned(): void;
}

/** Unanswered messages: enough for the round trip at full speed, few enough that a refusal repeats little. */
const WINDOW = 2_048;
/** More than AMQP's properties and headers add to a body. */
const PROPERTY_BYTES = 512;
/** How RabbitMQ closes a channel over a message that is too large: 406, and this text. */
const TOO_LARGE = /message size \d+ is larger than configured max size (\d+)/;

interface OpenChannel {
  readonly model: ChannelModel;
  readonly channel: ConfirmChannel;
  readonly confirms: Confirms<Entry<Message>>;
  /** The socket asked to wait for its `drain`. */
  full: boolean;
  /** How many may be unanswered now. */
  window: number;
  /** A message was refused: see above. */
  holding: boolean;
}

export class Publisher {
  readonly #connection: PublisherConnection;
  readonly #listener: PublisherListener;
  readonly #log: Log;
  readonly #outbox = new Outbox<Message>();
  readonly #stopping = new AbortController();
  #emptied = Promise.withResolvers<void>();
  #model: ChannelModel | undefined;
  #open: OpenChannel | undefined;
  #refusals = 0;
  /** The largest body that this broker takes, as far as it is known. */
  #maxBytes = MAX_MESSAGE_BYTES;
  #publishCount = 0;
  #errorCount = 0;

  constructor(connection: PublisherConnection, listener: PublisherListener, log: Log) {
    this.#connection = connection;
    this.#listener = listener;
    this.#log = log;
    connection.on('open', (model) => {
      this.#model = model;
      // The limit of a broker changes with its restart.
      this.#maxBytes = MAX_MESSAGE_BYTES;
      void this.#openChannel(model);
    });
    connection.on('lost', () => {
      this.#model = undefined;
      this.#open = undefined;
    });
    connection.on('unblocked', () => this.#flow());
  }

  get channelOpen(): boolean {
    return this.#open !== undefined;
  }

  /** Messages confirmed. */
  get publishCount(): number {
    return this.#publishCount;
  }

  /** Messages refused, dropped or returned, and channels that the broker closed. */
  get errorCount(): number {
    return this.#errorCount;
  }

  /** Received and not confirmed. */
  get outbox(): { readonly count: number; readonly bytes: number } {
    return this.#outbox;
  }

  /** Whether messages leave: a channel is open and the broker reads. */
  get flowing(): boolean {
    return this.#open !== undefined && !this.#open.holding && !this.#connection.blocked;
  }

  /**
   * Takes a message; `settled` is called once, when the broker has confirmed it. Never throws, never waits.
   * A message larger than the broker takes is dropped, counted and settled: the broker would close each channel over it.
   */
  publish(message: Message, settled: () => void): void {
    if (message.body.length > this.#maxBytes) {
      this.#dropTooLarge(message);
      settled();
      return;
    }
    this.#outbox.add(message, message.body.length + PROPERTY_BYTES, settled);
    this.#write();
  }

  /** Resolves when everything is confirmed, or when the signal aborts. */
  async drained(signal: AbortSignal): Promise<void> {
    while (this.#outbox.count > 0 && !signal.aborted)
      await orAborted(this.#emptied.promise, signal).catch(() => undefined);
  }

  /** Drops what is not confirmed: another task has it replayed. @returns how many messages */
  dropOutbox(_isDropped: (message: Message) => boolean): number {
    const dropped = this.#outbox.clear();
    this.#onEmptied();
    return dropped;
  }

  /** Opens no more channels. It does not close the connection. */
  close(): void {
    this.#stopping.abort();
    this.#open = undefined;
  }

  async #openChannel(model: ChannelModel): Promise<void> {
    let failures = 0;
    while (this.#model === model && !this.#stopping.signal.aborted) {
      try {
        const channel = await model.createConfirmChannel();
        if (this.#model !== model) return;
        this.#useChannel(model, channel);
        return;
      } catch (err) {
        failures += 1;
        this.#log.warn({ failures, err }, 'cannot open a channel; retrying');
        await this.#pause(backoffMs(failures));
      }
    }
  }

  #useChannel(model: ChannelModel, channel: ConfirmChannel): void {
    const open: OpenChannel = {
      model,
      channel,
      confirms: new Confirms(),
      full: false,
      // After a refusal, or a channel closed by the broker, one message goes first.
      window: this.#refusals > 0 ? 1 : WINDOW,
      holding: false,
    };
    channel.on('drain', () => {
      open.full = false;
      this.#write();
    });
    channel.on('ack', ({ deliveryTag, multiple }) => this.#acked(open, deliveryTag, multiple));
    channel.on('nack', ({ deliveryTag, multiple }) => this.#nacked(open, deliveryTag, multiple));
    channel.on('return', ({ fields, properties }) => this.#returned(fields.routingKey, properties.messageId));
    channel.on('error', (err) => this.#channelError(err));
    channel.on('close', () => this.#channelLost(open));
    this.#outbox.rewind();
    this.#open = open;
    this.#flow();
  }

  #channelError(err: unknown): void {
    const [, bytes] = TOO_LARGE.exec(errorMessage(err)) ?? [];
    if (bytes !== undefined) {
      // It is dropped when its turn comes again.
      this.#maxBytes = Math.min(this.#maxBytes, Number(bytes));
      this.#log.warn({ bytes: this.#maxBytes, expected: MAX_MESSAGE_BYTES }, 'this broker takes smaller messages only');
      return;
    }
    this.#errorCount += 1;
    this.#listener.refused();
    this.#log.error({ err }, 'the broker closed the channel (if something is missing: apply the topology)');
  }

  #flow(): void {
    this.#write();
    if (this.flowing) this.#listener.flowing();
  }

  /** While the connection is open: another channel, after a pause, as the cause may still be there. */
  #channelLost(open: OpenChannel, err?: unknown): void {
    if (this.#open !== open) return;
    this.#open = undefined;
    if (err !== undefined) this.#log.warn({ err }, 'cannot write to the channel');
    if (this.#model === open.model) void this.#reopen(open.model);
  }

  async #reopen(model: ChannelModel): Promise<void> {
    await this.#pause(backoffMs(this.#refusals + 1));
    // A lost connection closes its channels before it emits `lost`: that is no refusal.
    if (this.#model !== model) return;
    this.#refusals += 1;
    await this.#openChannel(model);
  }

  #write(): void {
    const open = this.#open;
    if (open === undefined || open.holding) return;
    while (!open.full && !this.#connection.blocked && open.confirms.size < open.window) {
      const entry = this.#outbox.next();
      if (entry === undefined) return;
      const { message } = entry;
      if (message.body.length > this.#maxBytes) {
        this.#dropTooLarge(message);
        this.#settle(entry);
        continue;
      }
      try {
        open.full = !open.channel.publish(EXCHANGES.events, message.routingKey, message.body, propertiesOf(message));
      } catch (error) {
        if (error instanceof IllegalOperationError) {
          // The channel is closed, and its `close` event has yet to come.
          this.#channelLost(open, error);
          return;
        }
        // Thrown before a byte was written. Kept, it would stop everything behind it.
        this.#dropUnwritable(message, error);
        this.#settle(entry);
        continue;
      }
      open.confirms.written(entry);
      this.#listener.published();
    }
  }

  #settle(entry: Entry<Message>): void {
    this.#outbox.confirm(entry);
    if (this.#outbox.count === 0) this.#onEmptied();
  }

  /** Its size is Discord's choice: no release causes it, so it does not count as a refusal. */
  #dropTooLarge({ messageId, type, body }: Message): void {
    this.#errorCount += 1;
    this.#listener.dropped();
    const fields = { eventId: messageId, eventType: type, bytes: body.length, mostBytes: this.#maxBytes };
    this.#log.error(fields, 'dropped a message that is too large for the broker');
  }

  #dropUnwritable({ messageId, type }: Message, err: unknown): void {
    this.#errorCount += 1;
    this.#listener.refused();
    this.#log.error({ eventId: messageId, eventType: type, err }, 'dropped a message that cannot be written');
  }

  #acked(open: OpenChannel, tag: number, multiple: boolean): void {
    const confirmed = open.confirms.answered(tag, multiple);
    for (const entry of confirmed) {
      // It was dropped meanwhile.
      if (entry.state === 'confirmed') continue;
      this.#publishCount += 1;
      this.#outbox.confirm(entry);
      // After the outbox, whose fullness the listener may ask for.
      this.#listener.confirmed(entry.message.type);
    }
    if (!open.holding) {
      this.#refusals = 0;
      open.window = Math.min(WINDOW, open.window + confirmed.length);
    }
    if (this.#outbox.count === 0) this.#onEmptied();
    this.#answered(open);
    this.#write();
  }

  #nacked(open: OpenChannel, tag: number, multiple: boolean): void {
    const refused = open.confirms.answered(tag, multiple);
    // Of a message that was never written, or was answered before.
    if (refused.length === 0) return;
    this.#errorCount += refused.length;
    for (const _ of refused) this.#listener.refused();
    if (!open.holding) {
      open.holding = true;
      this.#refusals += 1;
      const first = refused[0]?.message;
      this.#log.warn(
        { eventId: first?.messageId, eventType: first?.type, refusals: this.#refusals },
        'the broker refused a message (a queue is full?); publishing it again after a pause',
      );
    }
    this.#answered(open);
  }

  /** While holding: when everything written is answered, pause, then write again from the first unconfirmed. */
  #answered(open: OpenChannel): void {
    if (!open.holding || open.confirms.size > 0) return;
    void this.#pause(backoffMs(this.#refusals)).then(() => {
      if (this.#open !== open) return;
      this.#outbox.rewind();
      open.window = 1;
      open.holding = false;
      this.#flow();
    });
  }

  #returned(routingKey: string, eventId: unknown): void {
    this.#errorCount += 1;
    this.#listener.returned();
    this.#log.error({ eventId, routingKey }, 'no queue takes this message: apply the topology');
  }

  #onEmptied(): void {
    this.#emptied.resolve();
    this.#emptied = Promise.withResolvers();
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, this.#stopping.signal).catch(() => undefined);
  }
}

function propertiesOf(message: Message): Options.Publish {
  return {
    persistent: true,
    mandatory: true,
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    appId: 'discord-gateway-ingestor',
    priority: message.priority,
    messageId: message.messageId,
    correlationId: message.correlationId,
    type: message.type,
    timestamp: message.timestamp,
    headers: message.headers,
  };
}
