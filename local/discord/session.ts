// One session of one shard: it gives events their sequences, writes them to whoever is connected, and keeps the newest
// for a RESUME. It lives on without a connection; how long is for the gateway to say.
//
//   attached: has a connection (after a RESUME with `closeOlderSocket` off, more than one)
//   detached: has none; what happens is kept. A RESUME attaches it again
//   lost:     nobody can resume it; its page in the ledger says why. Nothing is added to it any more

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { frame, type Reader, type WorldEvent } from './event.ts';
import type { SessionRecord } from './ledger.ts';
import { ReplayBuffer } from './replay-buffer.ts';

/** Owned here, satisfied by a GatewayConnection. */
export interface Outlet {
  /** Whether it can be written to now; what it misses is written later, or replayed. */
  readonly takes: boolean;
  write(frame: string): void;
}

export interface SessionOptions {
  readonly id: string;
  readonly shardId: number;
  readonly shardCount: number;
  readonly reader: Reader;
  readonly replayBufferEvents: number;
  readonly record: SessionRecord;
}

export class Session {
  readonly id: string;
  readonly shardId: number;
  readonly shardCount: number;
  readonly reader: Reader;
  readonly record: SessionRecord;
  readonly #replay: ReplayBuffer<WorldEvent>;
  /** Each with the highest sequence that was written to it. */
  readonly #outlets = new Map<Outlet, number>();
  /** It is to be lost as soon as its connection ends. */
  forgotten = false;
  /** Ends a detached session. */
  expiry: NodeJS.Timeout | undefined;

  constructor({ id, shardId, shardCount, reader, replayBufferEvents, record }: SessionOptions) {
    this.id = id;
    this.shardId = shardId;
    this.shardCount = shardCount;
    this.reader = reader;
    this.record = record;
    this.#replay = new ReplayBuffer(replayBufferEvents);
  }

  /** The last sequence it gave. */
  get sequence(): number {
    return this.#replay.last;
  }

  get attached(): boolean {
    return this.#outlets.size > 0;
  }

  get outlets(): Iterable<Outlet> {
    return this.#outlets.keys();
  }

  /** Nobody is connected, and something fell out of the replay buffer that was never written to anyone. */
  get overfilled(): boolean {
    return !this.attached && this.#replay.first > this.record.lastSent + 1;
  }

  /** @returns the event's sequence */
  deliver(event: WorldEvent): number {
    const sequence = this.#replay.push(event);
    this.record.add(event.dispatch, event.routingKey, event.number);
    let text: string | undefined;
    for (const outlet of this.#outlets.keys()) {
      if (!outlet.takes) continue;
      text ??= frame(event, sequence, this.reader);
      this.#write(outlet, sequence, text);
    }
    return sequence;
  }

  /** For a connection that has just identified itself. */
  attach(outlet: Outlet): void {
    this.#outlets.set(outlet, this.sequence);
  }

  /**
   * Replays everything after this sequence, and then says RESUMED, which has a sequence too but is never replayed.
   * @returns how many dispatches were replayed; `undefined` when some are no longer kept, and nothing was done
   */
  resume(outlet: Outlet, sequence: number): number | undefined {
    const missed = this.#replay.after(sequence);
    if (missed === undefined) return undefined;
    this.#outlets.set(outlet, sequence);
    this.catchUp(outlet);
    const resumed = this.#replay.push(RESUMED);
    this.record.add(RESUMED.dispatch, null, 0);
    if (outlet.takes) this.#write(outlet, resumed, frame(RESUMED, resumed, this.reader));
    return missed.filter((event) => event !== RESUMED).length;
  }

  /** Writes what this connection has missed. @returns whether all of that was still kept */
  catchUp(outlet: Outlet): boolean {
    const from = this.#outlets.get(outlet);
    if (from === undefined || !outlet.takes) return true;
    const missed = this.#replay.after(from);
    if (missed === undefined) return false;
    let sequence = this.sequence - missed.length;
    for (const event of missed) {
      sequence += 1;
      if (event !== RESUMED) this.#write(outlet, sequence, frame(event, sequence, this.reader));
    }
    return true;
  }

  detach(outlet: Outlet): void {
    this.#outlets.delete(outlet);
  }

  /** The client has everything up to here. */
  trim(sequence: number): void {
    this.#replay.trim(sequence);
  }

  #write(outlet: Outlet, sequence: number, text: string): void {
    this.#outlets.set(outlet, sequence);
    this.record.sent(sequence);
    outlet.write(text);
  }
}

const RESUMED: WorldEvent = {
  number: 0,
  dispatch: GatewayDispatchEvents.Resumed,
  guild: undefined,
  intents: 0,
  routingKey: null,
  make: () => null,
};
