// One session of one shard: it gives events their sequences, writes them to whoever is connected, and keeps the newest
// for a RESUME. It lives on without a connection; how long is the gateway's decision.
//
//   attached: has a connection (after a RESUME with `closeOlderSocket` off, more than one)
//   detached: has none; what happens is kept. A RESUME attaches it again
//   lost:     cannot be resumed; its ledger has the reason. Nothing is added to it any more

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { frame, type SimulatedEvent, type View } from './event.ts';
import type { SessionLedger } from './ledger.ts';
import type { Reading } from './options.ts';

/** Satisfied by a GatewayConnection. */
export interface Recipient {
  /** Whether it can be written to now. What it misses is replayed. */
  readonly writable: boolean;
  write(dispatch: string, frame: string): void;
}

export class Session {
  readonly shardCount: number;
  readonly view: View;
  readonly ledger: SessionLedger;
  /** The newest events by sequence, for a RESUME. */
  readonly #kept = new Map<number, SimulatedEvent>();
  /** The highest sequence that is not kept any more. */
  #forgotten = 0;
  readonly #reading: () => Reading;
  readonly #recipients = new Set<Recipient>();
  /** The last that the client set, by IDENTIFY or op 3. */
  presence: unknown;
  /** The highest sequence of a heartbeat. */
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
    return this.ledger.lastSequence;
  }

  get attached(): boolean {
    return this.#recipients.size > 0;
  }

  /** It is detached, and an event fell out of the replay buffer that was never written. */
  get overfilled(): boolean {
    return !this.attached && this.#forgotten > this.ledger.lastSent;
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

  /** A heartbeat confirms everything up to this sequence. */
  acknowledge(sequence: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, sequence);
    this.#trim(sequence);
  }

  /** A RESUME from there is refused. @returns why */
  refusal(sequence: number): string {
    const withoutResumes = Math.max(this.#acknowledged, this.sequence - this.#reading().replayBuffer.events);
    return `resumed from before ${sequence < withoutResumes ? 'the replay buffer' : 'an earlier RESUME'}`;
  }

  /**
   * Replays everything after this sequence, then sends RESUMED, which has a sequence too but is never replayed.
   * @returns whether all of it was still kept; if not, nothing was done
   */
  resume(recipient: Recipient, sequence: number): boolean {
    if (sequence < this.#forgotten) return false;
    this.#trim(sequence);
    this.#recipients.add(recipient);
    for (let missed = sequence + 1; missed <= this.sequence; missed += 1) {
      const event = this.#kept.get(missed);
      if (event !== undefined && event !== RESUMED && recipient.writable)
        this.#write(recipient, event, missed, frame(event, missed, this.view));
    }
    this.#add(RESUMED, [recipient]);
    return true;
  }

  #trim(sequence: number): void {
    if (this.#reading().replayBuffer.trimmedByAcknowledgement) this.#forget(sequence);
  }

  /** Everything up to this sequence. */
  #forget(sequence: number): void {
    while (this.#forgotten < sequence) {
      this.#forgotten += 1;
      this.#kept.delete(this.#forgotten);
    }
  }

  #add(event: SimulatedEvent, recipients: Iterable<Recipient>): number {
    this.ledger.add(event);
    const { sequence } = this;
    this.#kept.set(sequence, event);
    this.#forget(sequence - this.#reading().replayBuffer.events);
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
