// Publishes messages to the topic exchange. Order is promised within a queue, so each queue has a lane of its own: a queue
// that confirms nothing, because it is full or has no majority, stops only its own lane.
//
// Only the broker's confirm settles a message, which then leaves the outbox, wherever it stands.
// A lane is *stuck* when for `STUCK_MS` nothing of it was confirmed, although something waits and the connection is open and
//   not blocked, and the same connection confirms something else: another lane's messages, or the claim of the deadline. A
//   broker that confirms nothing at all may be a node without a majority. It ends with the next confirm.
// Nothing is confirmed in any lane: amqp/confirm-deadline.ts ends the connection, and all lanes write what is unconfirmed
//   again on the next one. In one lane: another channel (lane-channel.ts).
// The outbox has no bound: backpressure.ts stops receiving. All channels are opened with the connection, so that a missing
// permission is noticed before the first message.

import type { ChannelModel } from 'amqplib';
import type { ConnectionEvents } from '../connection-events.ts';
import { MAX_MESSAGE_BYTES } from '../contract/limits.ts';
import { WORKER_QUEUES, type WorkerQueue } from '../contract/names.ts';
import type { Log } from '../log.ts';
import { orAborted } from '../wait.ts';
import { LaneChannel, type LaneListener, type PublisherListener } from './lane-channel.ts';
import type { Message } from './message.ts';

type PublisherConnection = ConnectionEvents<ChannelModel> & {
  readonly blocked: boolean;
  on(event: 'unblocked', listener: () => void): unknown;
};

interface PublisherOptions {
  readonly connection: PublisherConnection;
  /** Satisfied by a `ConfirmDeadline` of the same connection. */
  readonly deadline: { written(): void; confirmed(unconfirmed: number): void; readonly stuck: boolean };
  readonly listener: PublisherListener;
  readonly log: Log;
}

/** A fail-over of a queue's leader takes up to 11 s; an early report costs nothing. */
export const STUCK_MS = 10_000;
const CHECK_EVERY_MS = 1_000;

export class Publisher {
  readonly #connection: PublisherConnection;
  readonly #deadline: PublisherOptions['deadline'];
  readonly #lanes: Readonly<Record<WorkerQueue, LaneChannel>>;
  readonly #all: readonly LaneChannel[];
  readonly #stopping = new AbortController();
  readonly #checks: NodeJS.Timeout;
  #emptied = Promise.withResolvers<void>();
  /** Since when the broker can confirm, Unix ms: the connection is open, and not blocked. */
  #readySince: number | undefined;
  #publishCount = 0;
  #errorCount = 0;

  constructor({ connection, deadline, listener, log }: PublisherOptions) {
    this.#connection = connection;
    this.#deadline = deadline;
    const options = {
      limit: { maxBytes: MAX_MESSAGE_BYTES },
      blocked: () => connection.blocked,
      listener: this.#counting(listener),
      ...{ log, signal: this.#stopping.signal },
    };
    this.#lanes = Object.fromEntries(
      Object.values(WORKER_QUEUES).map((queue) => [queue, new LaneChannel({ ...options, queue })]),
    ) as Record<WorkerQueue, LaneChannel>;
    this.#all = Object.values(this.#lanes);
    connection.on('open', (model) => {
      if (this.#stopping.signal.aborted) return;
      this.#readySince = Date.now();
      // The limit of a broker changes with its restart.
      options.limit.maxBytes = MAX_MESSAGE_BYTES;
      for (const lane of this.#all) lane.open(model);
      // The node may not even open a channel.
      if (this.outbox.count > 0) this.#deadline.written();
    });
    connection.on('lost', () => this.#closeLanes());
    connection.on('unblocked', () => {
      this.#readySince = Date.now();
      for (const lane of this.#all) lane.flow();
    });
    this.#checks = setInterval(() => this.#check(), CHECK_EVERY_MS).unref();
  }

  /** Whether every lane has its channel. */
  get channelOpen(): boolean {
    return this.#all.every(({ isOpen }) => isOpen);
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
    let count = 0;
    let bytes = 0;
    for (const { lane } of this.#all) {
      count += lane.outbox.count;
      bytes += lane.outbox.bytes;
    }
    return { count, bytes };
  }

  /** Whether messages of any lane leave: its channel is open, and the broker reads and takes them. */
  get flowing(): boolean {
    return this.#all.some(({ flowing }) => flowing);
  }

  /** 0 without any. */
  get oldestUnconfirmedMs(): number {
    return Math.max(0, ...this.#all.flatMap(({ lane }) => Date.now() - (lane.outbox.oldest?.addedAt ?? Date.now())));
  }

  /** For how long nothing was confirmed in any lane although something waits; 0 when nothing waits. */
  get nothingConfirmedMs(): number {
    return Math.min(this.oldestUnconfirmedMs, Date.now() - this.#lastConfirmedAt);
  }

  get stuck(): readonly WorkerQueue[] {
    return Object.values(WORKER_QUEUES).filter((queue) => this.#lanes[queue].isStuck);
  }

  /** The queues of which the broker has refused messages since it last confirmed one. */
  get refusing(): readonly WorkerQueue[] {
    return Object.values(WORKER_QUEUES).filter((queue) => this.#lanes[queue].isRefused);
  }

  /**
   * Takes a message; `settled` is called once, when the broker has confirmed it. Never throws, never waits.
   * One that is too large for the broker is compressed, and put in parts if that is not enough. What the broker still does
   * not take is dropped, counted and settled: it would close each channel over it.
   */
  publish(message: Message, settled: () => void): void {
    this.#lanes[message.queue].publish(message, settled);
  }

  /** Resolves when everything is confirmed, or when the signal aborts. */
  async drained(signal: AbortSignal): Promise<void> {
    while (this.outbox.count > 0 && !signal.aborted)
      await orAborted(this.#emptied.promise, signal).catch(() => undefined);
  }

  /** Drops those that another task publishes, without settling them. @returns how many messages */
  dropOutbox(isDropped: (message: Message) => boolean): number {
    let dropped = 0;
    for (const { lane } of this.#all) dropped += lane.outbox.drop(isDropped);
    this.#resolveIfEmpty();
    return dropped;
  }

  /** Opens no more channels. It does not close the connection. */
  close(): void {
    this.#stopping.abort();
    clearInterval(this.#checks);
    this.#closeLanes();
  }

  /** Unix ms; 0: never. */
  get #lastConfirmedAt(): number {
    return Math.max(...this.#all.map(({ lane }) => lane.confirmedAt));
  }

  #counting(listener: PublisherListener): LaneListener {
    const failed = (report: () => void) => () => {
      this.#errorCount += 1;
      report();
    };
    return {
      ...listener,
      published: () => {
        listener.published();
        this.#deadline.written();
      },
      confirmed: (type) => {
        this.#publishCount += 1;
        listener.confirmed(type);
      },
      refused: failed(listener.refused),
      dropped: failed(listener.dropped),
      returned: failed(listener.returned),
      acked: () => this.#deadline.confirmed(this.#all.reduce((sum, { lane }) => sum + lane.unanswered, 0)),
      left: () => this.#resolveIfEmpty(),
    };
  }

  #resolveIfEmpty(): void {
    if (this.outbox.count > 0) return;
    this.#deadline.confirmed(0);
    this.#emptied.resolve();
    this.#emptied = Promise.withResolvers();
  }

  #closeLanes(): void {
    this.#readySince = undefined;
    for (const lane of this.#all) lane.close();
  }

  #check(): void {
    const since = this.#readySince;
    if (since === undefined || this.#connection.blocked) return;
    const now = Date.now();
    const confirmedAt = this.#deadline.stuck ? now : this.#lastConfirmedAt;
    for (const lane of this.#all) lane.check(now, since, STUCK_MS, confirmedAt);
  }
}
