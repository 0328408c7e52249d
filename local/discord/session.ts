// One session of one shard: it gives events their sequences, writes them to whoever is connected, and keeps the newest
// for a RESUME. It lives on without a connection; how long is the gateway's decision.
//
//   attached: has a connection (after a RESUME with `closeOlderSocket` off, more than one)
//   detached: has none; what happens is kept. A RESUME attaches it again
//   lost:     cannot be resumed; its ledger says why. Nothing is added to it any more

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { frame, type SimulatedEvent, type View } from './event.ts';
import type { SessionLedger } from './ledger.ts';
import type { Reading } from './options.ts';
import { ReplayBuffer } from './replay-buffer.ts';

/** Owned here, satisfied by a GatewayConnection. */
export interface Recipient {
  /** Whether it can be written to now. What it misses is replayed. */
  readonly writable: boolean;
  write(dispatch: string, frame: string): void;
}

export class Session {
  readonly shardCount: number;
  readonly view: View;
  readonly ledger: SessionLedger;
  readonly #replay = new ReplayBuffer<SimulatedEvent>();
  readonly #reading: () => Reading;
  readonly #recipients = new Set<Recipient>();
  /** The last that the client set, by IDENTIFY or op 3. */
  presence: unknown;
  /** By heartbeats. */
  #acknowledged = 0;
  /** Ends a detached session. */
  expiry: NodeJS.Timeout | undefined;

  constructor(ledger: SessionLedger, shardCount: number, view: View, reading: () => Reading) {
    this.ledger = ledger;
    this.shardCount = shardCount;
    this.view = view;
    this.#reading = reading;
  }

  get id(): string {
    return this.ledger.sessionId;
  }

  get shardId(): number {
    return this.ledger.shardId;
  }

  /** The last sequence it gave. */
  get sequence(): number {
    return this.#replay.last;
  }

  get attached(): boolean {
    return this.#recipients.size > 0;
  }

  /** It is detached, and an event fell out of the replay buffer that was never written. */
  get overfilled(): boolean {
    return !this.attached && this.#replay.first > this.ledger.lastSent + 1;
  }

  /** @returns the event's sequence */
  deliver(event: SimulatedEvent): number {
    return this.#add(event, this.#recipients);
  }

  attach(recipient: Recipient): void {
    this.#recipients.add(recipient);
  }

  detach(recipient: Recipient): void {
    this.#recipients.delete(recipient);
  }

  /** A heartbeat says that the client has everything up to this sequence. */
  acknowledge(sequence: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, sequence);
    this.#trim(sequence);
  }

  /** A RESUME from there is refused. @returns why */
  refusal(sequence: number): 'resumed from before the replay buffer' | 'resumed from before an earlier RESUME' {
    const withoutResumes = Math.max(this.#acknowledged, this.sequence - this.#reading().replayBuffer.events);
    return sequence < withoutResumes
      ? 'resumed from before the replay buffer'
      : 'resumed from before an earlier RESUME';
  }

  /**
   * Replays everything after this sequence, then sends RESUMED, which has a sequence too but is never replayed.
   * @returns whether all of it was still kept; if not, nothing was done
   */
  resume(recipient: Recipient, sequence: number): boolean {
    const missed = this.#replay.after(sequence);
    if (missed === undefined) return false;
    this.#trim(sequence);
    this.#recipients.add(recipient);
    for (const [index, event] of missed.entries()) {
      const missedSequence = sequence + 1 + index;
      if (event === RESUMED || !recipient.writable) continue;
      this.#write(recipient, event, missedSequence, frame(event, missedSequence, this.view));
    }
    this.#add(RESUMED, [recipient]);
    return true;
  }

  #trim(sequence: number): void {
    if (this.#reading().replayBuffer.trimmedByAcknowledgement) this.#replay.forget(sequence);
  }

  #add(event: SimulatedEvent, recipients: Iterable<Recipient>): number {
    const sequence = this.#replay.push(event);
    this.#replay.forget(sequence - this.#reading().replayBuffer.events);
    this.ledger.add(event);
    let text: string | undefined;
    for (const recipient of recipients) {
      if (!recipient.writable) continue;
      text ??= frame(event, sequence, this.view);
      this.#write(recipient, event, sequence, text);
    }
    return sequence;
  }

  #write(recipient: Recipient, { dispatch, written }: SimulatedEvent, sequence: number, text: string): void {
    this.ledger.lastSent = Math.max(this.ledger.lastSent, sequence);
    recipient.write(dispatch, text);
    written?.();
  }
}

const RESUMED: SimulatedEvent = {
  number: 0,
  dispatch: GatewayDispatchEvents.Resumed,
  intents: 0,
  routingKey: null,
  make: () => null,
};
