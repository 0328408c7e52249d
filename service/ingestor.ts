// Joins the rooms on the way of an event: shards receive, dispatches become messages, the publisher settles them, and the
// session moves its watermark. It runs the shards of the group that this task owns, and decides nothing that a room decides.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { type Bounds, fullness, mayReceive } from './backpressure.ts';
import type { CommandRelay } from './command-relay.ts';
import { HEADERS } from './contract/names.ts';
import { DispatchPublisher, type DispatchPublisherOptions } from './dispatch-publisher.ts';
import { unread } from './events/choice.ts';
import { ROUTES } from './events/routing.ts';
import type { GapReporter } from './gap-reporter.ts';
import { Shard } from './gateway/shard.ts';
import type { ShardOptions } from './gateway/shard-options.ts';
import type { ShardGroup } from './lease/take-over.ts';
import type { Publisher } from './publisher/publisher.ts';
import { type ResumeState, ShardSession } from './session/session.ts';
import { orAborted, orAfter } from './wait.ts';

type OfShards = 'token' | 'information' | 'gate' | 'intents' | 'compression' | 'apiUrl' | 'permission';

export interface IngestorOptions extends Pick<ShardOptions, OfShards>, DispatchPublisherOptions {
  readonly publisher: Publisher;
  readonly gaps: GapReporter;
  readonly commands: CommandRelay;
  readonly bounds: Bounds;
  /** Only this process knows of the session. */
  readonly onSessionStarted: () => void;
}

/** A shard of this task, with its session. */
interface Member {
  readonly shard: Shard;
  readonly session: ShardSession;
}

type Dispatch = Parameters<ShardOptions['onDispatch']>[0];

type Sessions = Readonly<Record<string, ResumeState>>;

/** Before a RESUME, for the confirms of what was received. */
const CONFIRMED_WITHIN_MS = 5_000;

export class Ingestor {
  readonly #options: IngestorOptions;
  readonly #dispatches: DispatchPublisher;
  #members: readonly Member[] = [];
  #receiving = false;
  #wanted = false;
  #connecting: Promise<void> = Promise.resolve();

  constructor(options: IngestorOptions) {
    this.#options = options;
    this.#dispatches = new DispatchPublisher(options);
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /** Whether the shards are (to be) connected; false while the outbox is too full, and for a standby. */
  get receiving(): boolean {
    return this.#receiving;
  }

  /** By shard id, what another process needs to go on; a shard without a session is missing. */
  get sessions(): Sessions {
    return Object.fromEntries(
      this.#members.flatMap(({ session: { resumeState, shardId } }) => (resumeState ? [[shardId, resumeState]] : [])),
    );
  }

  /** By presence, the shards that a command gave it. */
  get presences(): ShardGroup['presences'] {
    return this.#options.commands.presences;
  }

  /** Shards that are connected to Discord. */
  get connected(): number {
    return this.#members.filter(({ shard }) => shard.connected).length;
  }

  /** Shards whose session no other task has resumed, as far as Discord shows. */
  get untaken(): number {
    return this.#members.filter(({ shard }) => shard.untaken).length;
  }

  /** Since when no shard has reached Discord although each tries to, Unix ms. */
  get unreachableSince(): number | undefined {
    const since = this.#members.map(({ shard }) => shard.unreachableSince);
    return since.length > 0 && since.every((each) => each !== undefined) ? Math.max(...since) : undefined;
  }

  /** The broker has a group record with these sessions. */
  stored(sessions: Sessions): void {
    for (const { session } of this.#members) {
      const state = sessions[session.shardId];
      if (state !== undefined) session.stored(state);
    }
  }

  /** Takes the shards of a group over and connects them. @throws when it has shards already */
  own({ group, shardIds, shardCount, sessions, presences, storedAt, takenOverAt }: ShardGroup): void {
    if (this.#members.length > 0)
      throw new Error(`expected no shards before another group is taken over, but there are ${this.#members.length}`);
    const { choice, commands, gaps, intents } = this.#options;
    commands.restore(presences);
    this.#members = shardIds.map((id) => {
      const session = new ShardSession(id, shardCount, gaps.eventsOf(id));
      const state = sessions.get(id);
      // A version that does not store the intents was set up with the same: what it stores would be replaced at each deploy.
      if (state !== undefined) session.restore({ ...state, intents: state.intents ?? intents }, storedAt, takenOverAt);
      const shard: Shard = new Shard({
        ...this.#options,
        ...{ id, session },
        sends: commands.portOf(id, (payload) => shard.send(payload)),
        unwanted: unread(choice),
        confirmed: (signal) => this.#confirmed(session, signal),
        onDispatch: (dispatch, receivedAt) => this.#receive(session, dispatch, receivedAt),
      });
      return { session, shard };
    });
    commands.start({ group, shardIds, shardCount });
    this.#wanted = true;
    this.applyBackpressure();
  }

  /** Stops receiving, with resumable closes. Nothing received is lost: it is in the outbox. */
  async stopReceiving(): Promise<void> {
    const stopped = this.#options.commands.stop();
    this.#wanted = false;
    this.applyBackpressure();
    await this.#connecting;
    await stopped;
  }

  /**
   * Gives the shards up to another task. What is not confirmed is still published, but for events of sessions that the
   * task resumes: Discord replays these to it.
   * @param later sessions of the record that the task stored; none when it has not been seen
   */
  async stepDown(later: Sessions = {}): Promise<void> {
    const { publisher, gaps, log } = this.#options;
    await this.stopReceiving();
    const isResumed = (shardId: unknown, sessionId: unknown) => later[String(shardId)]?.sessionId === sessionId;
    const dropped = publisher.dropOutbox(
      ({ headers, type }) =>
        // READY is not replayed.
        type !== ROUTES.gatewayReady.family && isResumed(headers[HEADERS.shard], headers[HEADERS.session]),
    );
    this.#members = [];
    gaps.forget(({ shardId, sessionId }) => isResumed(shardId, sessionId));
    if (dropped > 0) log.warn({ events: dropped }, 'dropped events of the outbox: the new owner has them replayed');
  }

  /** A RESUME from what was received should find all of it with the broker: see the positions in watermark.ts. */
  async #confirmed({ watermark }: ShardSession, signal: AbortSignal): Promise<void> {
    if (!this.#options.publisher.flowing) return;
    await orAfter(orAborted(watermark.settled, signal), CONFIRMED_WITHIN_MS, () => undefined);
  }

  /** Connects or closes the shards, as the outbox allows. Called whenever it has become fuller or emptier. */
  applyBackpressure(): void {
    const { bounds, log, publisher } = this.#options;
    const { count, bytes } = publisher.outbox;
    const full = fullness({ count, bytes }, bounds);
    const receive = this.#wanted && mayReceive(this.#receiving, full, publisher.flowing);
    if (receive === this.#receiving) return;
    this.#receiving = receive;
    const size = { outboxEvents: count, outboxBytes: bytes };
    if (receive) log.info(size, 'receiving from Discord');
    else if (this.#wanted)
      log.warn(size, 'the outbox is full: the shards are closed, and resume when it is half empty');
    this.#connecting = this.#connecting.then(() => this.#connectOrClose());
  }

  /** Runs one at a time, each by the newest decision. */
  async #connectOrClose(): Promise<void> {
    if (this.#receiving) for (const { shard } of this.#members) shard.start();
    else await Promise.all(this.#members.map(({ shard }) => shard.stop()));
  }

  #receive(session: ShardSession, dispatch: Dispatch, receivedAt: number): void {
    const { metrics, onSessionStarted } = this.#options;
    metrics.add('eventsReceived');
    const watermark = session.receive(dispatch.s, receivedAt);
    // READY is no replay: the session that it has just begun counts it as settled.
    if (dispatch.t === GatewayDispatchEvents.Ready) onSessionStarted();
    else if (watermark === undefined) return;
    const settle = () => watermark?.settle(dispatch.s);
    if (this.#dispatches.publish(dispatch, session, receivedAt, settle)) this.applyBackpressure();
  }
}
