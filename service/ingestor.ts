// The way of an event, joined: shards receive, events are made of dispatches, the publisher settles them, the session
// moves on. Rooms do not know each other; what one needs of another is handed over here. It owns the shards of the
// group this task holds, and decides nothing that a room decides.

import { Buffer } from 'node:buffer';
import { GatewayDispatchEvents, type GatewayDispatchPayload } from 'discord-api-types/v10';
import { type Marks, mayReceive } from './backpressure.ts';
import { HEADERS, SCHEMA_VERSION } from './contract/names.ts';
import { traceparent } from './events/event-id.ts';
import { gatewayGap } from './events/gap.ts';
import type { Event } from './events/outcome.ts';
import { family } from './events/routing.ts';
import { toPayload } from './events/to-payload.ts';
import type { BotToken } from './gateway/bot-token.ts';
import type { GatewayInformation } from './gateway/gateway-information.ts';
import type { IdentifyGate } from './gateway/identify-gate.ts';
import { Shard } from './gateway/shard.ts';
import type { TakeOver } from './lease/take-over.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Message } from './publisher/message.ts';
import { Publisher, type PublisherConnection } from './publisher/publisher.ts';
import { type LostSession, ShardSession, type StoredSession } from './session/session.ts';

export interface IngestorOptions {
  readonly connection: PublisherConnection;
  readonly token: BotToken;
  readonly information: GatewayInformation;
  readonly gate: IdentifyGate;
  readonly intents: number;
  readonly compression: 'none' | 'zlib-stream';
  readonly marks: Marks;
  /** Resolves when the lease is ours beyond doubt. @throws when the signal aborts */
  readonly certain: (signal: AbortSignal) => Promise<void>;
  /** A session has begun, of which only this process knows. */
  readonly begun: () => void;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** A shard of this task, with everything that belongs to it. */
interface Member {
  readonly shard: Shard;
  readonly session: ShardSession;
}

/** While the lease is uncertain no shard connects: a new owner may have its session. But not for ever. */
const DOUBT_MS = 60_000;

/** What is logged once is remembered, so no more than this. */
const MAX_LOGGED_ONCE = 1_000;

export class Ingestor {
  readonly publisher: Publisher;
  readonly #options: IngestorOptions;
  readonly #said = new Set<string>();
  readonly #untold = new Map<string, LostSession>();
  #members: readonly Member[] = [];
  #receiving = false;
  #wanted = false;
  #turning: Promise<void> = Promise.resolve();

  constructor(options: IngestorOptions) {
    this.#options = options;
    const { metrics } = options;
    this.publisher = new Publisher(
      options.connection,
      {
        published: () => metrics.add('eventsPublished'),
        confirmed: (type) => {
          metrics.addConfirmed(family(type));
          this.#weigh();
        },
        flowing: () => this.#weigh(),
        refused: () => metrics.add('publishErrors'),
        returned: () => metrics.add('eventsReturned'),
      },
      options.log,
    );
  }

  get shards(): readonly { readonly shard: Shard; readonly session: ShardSession }[] {
    return this.#members;
  }

  /** Whether the shards are (to be) connected; false while the outbox is too full, and for a standby. */
  get receiving(): boolean {
    return this.#receiving;
  }

  /** By shard id, what another process needs to go on; a shard without a session is missing. */
  get sessions(): Record<string, StoredSession> {
    return Object.fromEntries(
      this.#members.flatMap(({ session: { stored, shardId } }) => (stored === undefined ? [] : [[shardId, stored]])),
    );
  }

  /** Lost sessions that no worker can know of yet: they must outlive this process. */
  get untoldGaps(): LostSession[] {
    return [...this.#untold.values()];
  }

  /** Takes shards over and connects them; what is lost with the change is told first. */
  own({ shardIds, shardCount, sessions, storedAt, takenOverAt, lost, lostInHandOver, untold }: TakeOver): void {
    void this.abandon(lost, untold);
    for (const each of lostInHandOver) void this.#tellGap(each, true);
    this.#members = shardIds.map((id) => {
      const session = new ShardSession(id, shardCount, (lost, inHandOver) => void this.#tellGap(lost, inHandOver));
      const record = sessions.get(id);
      if (record !== undefined) session.restore(record, storedAt, takenOverAt);
      const member: Member = {
        session,
        shard: new Shard({
          ...this.#options,
          id,
          session,
          permission: (signal) => this.#permission(signal),
          onDispatch: (dispatch, receivedAt) => this.#receive(session, dispatch, receivedAt),
          onSent: (sent) => this.#options.metrics.add(sent === 'identify' ? 'identifies' : 'resumes'),
        }),
      };
      return member;
    });
    this.#wanted = true;
    this.#weigh();
  }

  /** Stops receiving, with resumable closes. Nothing received is lost: it is in the outbox. */
  async stopReceiving(): Promise<void> {
    this.#wanted = false;
    this.#weigh();
    await this.#turning;
  }

  /** Gives the shards up to another task, which has replayed whatever is not confirmed here. */
  async disown(): Promise<void> {
    await this.stopReceiving();
    const dropped = this.publisher.dropOutbox();
    this.#members = [];
    this.#untold.clear();
    if (dropped > 0)
      this.#options.log.warn({ events: dropped }, 'dropped the outbox: the new owner has these events replayed');
  }

  /** Sessions that nobody will resume, some of them counted before. Resolves when the workers are told of all of them. */
  async abandon(lost: readonly LostSession[], untold: readonly LostSession[]): Promise<void> {
    await Promise.all([...untold.map((each) => this.#publishGap(each)), ...lost.map((each) => this.#tellGap(each))]);
  }

  /** A session was lost: counts and says it, and tells the workers. */
  #tellGap(lost: LostSession, inHandOver = false): Promise<void> {
    const { shardId, lastSequence, reason } = lost;
    this.#options.metrics.add('gatewayGaps');
    if (inHandOver) this.#options.metrics.add('gapsInHandOver');
    this.#options.log.error(
      { shard: shardId, lastSequence, reason, inHandOver },
      'a session is lost: events after its last sequence may be missing',
    );
    return this.#publishGap(lost);
  }

  /** Until the broker has confirmed it, it is among `untoldGaps`. */
  #publishGap(lost: LostSession): Promise<void> {
    const { shardId, sessionId, lastSequence, lastReceivedAt, lostAt, reason } = lost;
    this.#untold.set(sessionId, lost);
    const gap = gatewayGap({ shardId, sessionId, lastSequence, lostFrom: lastReceivedAt, lostUntil: lostAt, reason });
    return new Promise((resolve) => {
      this.publisher.publish(toMessage(gap, sessionId, lastSequence), () => {
        this.#untold.delete(sessionId);
        resolve();
      });
    });
  }

  #receive(session: ShardSession, dispatch: GatewayDispatchPayload, receivedAt: number): void {
    const { metrics } = this.#options;
    metrics.add('eventsReceived');
    if (dispatch.t === GatewayDispatchEvents.Ready) this.#options.begun();
    const sessionId = session.id ?? '';
    const { shardId, guilds } = session;
    const sequence = dispatch.s;
    const context = { sessionId, shardId, sequence, receivedAt, guilds };
    const watermark = session.receive(sequence, receivedAt);
    if (watermark === undefined) {
      // READY is settled by beginning the session; of the rest this is a replay of what is in the outbox.
      if (dispatch.t === GatewayDispatchEvents.Ready) toPayload(dispatch, context);
      else metrics.add('eventsReplayed');
      return;
    }
    const outcome = toPayload(dispatch, context);
    if (outcome.kind === 'event') {
      if (outcome.unknownFields !== undefined) this.#reportUnknownFields(dispatch.t, outcome.unknownFields);
      this.publisher.publish(toMessage(outcome, sessionId, sequence), () => {
        watermark.settle(sequence);
        metrics.observe('frameToConfirm', Date.now() - receivedAt);
      });
      this.#weigh();
      return;
    }
    watermark.settle(sequence);
    metrics.add(outcome.kind === 'filtered' ? 'eventsFiltered' : 'eventsUnknown');
    if (outcome.kind === 'unknown') this.#sayOnce(dispatch.t, outcome.reason);
  }

  #sayOnce(dispatchType: string, reason: string): void {
    if (this.#said.has(dispatchType)) return;
    this.#said.add(dispatchType);
    this.#options.log.warn(
      { dispatch: dispatchType, reason },
      'a dispatch that is not understood (said once for each type)',
    );
  }

  /** Removed from what workers get. A name may be anything, so not without bound. */
  #reportUnknownFields(dispatchType: string, fields: readonly string[]): void {
    this.#options.metrics.add('unknownFields', fields.length);
    for (const field of fields) {
      const key = `${dispatchType} ${field}`;
      if (this.#said.has(key) || this.#said.size >= MAX_LOGGED_ONCE) continue;
      this.#said.add(key);
      this.#options.log.warn(
        { dispatch: dispatchType, field },
        'removed a field that this version does not know (logged once for each name)',
      );
    }
  }

  /** Connects or closes the shards, as the outbox allows. One turn at a time, and always towards the newest decision. */
  #weigh(): void {
    const { outbox, flowing } = this.publisher;
    const pressure = { count: outbox.count, bytes: outbox.bytes, flowing };
    const receive = this.#wanted && mayReceive(this.#receiving, pressure, this.#options.marks);
    if (receive === this.#receiving) return;
    this.#receiving = receive;
    if (this.#wanted) this.#say(receive);
    this.#turning = this.#turning.then(() => this.#turn());
  }

  #say(receive: boolean): void {
    const { log } = this.#options;
    const { count, bytes } = this.publisher.outbox;
    const figures = { outboxEvents: count, outboxBytes: bytes };
    if (receive) log.info(figures, 'receiving from Discord');
    else log.warn(figures, 'the outbox is full: the shards are closed, and resume when it is half empty');
  }

  async #permission(signal: AbortSignal): Promise<void> {
    const patience = AbortSignal.timeout(DOUBT_MS);
    await this.#options.certain(AbortSignal.any([signal, patience])).catch((error: unknown) => {
      if (!patience.aborted) throw error;
    });
    signal.throwIfAborted();
  }

  async #turn(): Promise<void> {
    if (this.#receiving) for (const { shard } of this.#members) shard.start();
    else await Promise.all(this.#members.map(({ shard }) => shard.stop()));
  }
}

function toMessage({ payload, routingKey, priority }: Event, sessionId: string, sequence: number): Message {
  const { eventId } = payload;
  return {
    routingKey,
    priority,
    body: Buffer.from(JSON.stringify(payload)),
    messageId: eventId,
    correlationId: payload.interactionId ?? eventId,
    type: payload.eventType,
    timestamp: Math.floor(payload.timestamp / 1_000),
    headers: {
      [HEADERS.schemaVersion]: SCHEMA_VERSION,
      [HEADERS.shard]: payload.shardId,
      [HEADERS.session]: sessionId,
      [HEADERS.sequence]: sequence,
      [HEADERS.traceparent]: traceparent(eventId),
    },
  };
}
