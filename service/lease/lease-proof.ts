// The proof of ownership: a record that was stored after the question is delivered back, on the channels that consume. It is
// not where the connection is dead and this is not noticed yet, where its node has no majority, nor where the broker has moved
// the lease to another task and left the old consumer's channel open. Then the connection is ended, so that another node is
// asked.

import { orAborted, orAfter } from '../wait.ts';
import type { LeaseChannels } from './lease-channels.ts';

/** What an owner has stored and holds. */
export interface Ownership {
  readonly epoch: number;
  /** Of the last record that was stored. */
  readonly commit: number;
  /** Of the newest record that was delivered back; 0 before the first, and while the task is uncertain. */
  readonly held: number;
  /** None while the task cannot know whether it is the owner. */
  readonly channels: Pick<LeaseChannels, 'after'> | undefined;
}

/** `blocked` while the broker blocks publishers: it may take no record, so an owner stays certain. */
interface Connection {
  readonly blocked: boolean;
  fail(reason: string): void;
}

/** The broker may block publishers meanwhile. */
const LOOK_AGAIN_MS = 200;

export class LeaseProof {
  readonly #connection: Connection;
  readonly #store: () => void;
  readonly #withinMs: number;
  #owner: Ownership | undefined;
  #changed = Promise.withResolvers<void>();
  /** Unix ms. */
  #unprovenSince: number | undefined;

  /**
   * @param store stores a record, though nothing has changed
   * @param withinMs from a record's confirm to its delivery
   */
  constructor(connection: Connection, store: () => void, withinMs: number) {
    this.#connection = connection;
    this.#store = store;
    this.#withinMs = withinMs;
  }

  /** For how long an owner has stored records, or was uncertain, and none has come back; 0 otherwise. */
  get unprovenMs(): number {
    return this.#unprovenSince === undefined ? 0 : Date.now() - this.#unprovenSince;
  }

  /** @param owner none while the task is no owner @returns whether a record has come back */
  changed(owner: Ownership | undefined): boolean {
    const cameBack = owner !== undefined && owner.held > 0 && owner.held !== this.#owner?.held;
    this.#owner = owner;
    if (cameBack || owner === undefined) this.#unprovenSince = undefined;
    if (owner !== undefined && owner.held < owner.commit) this.#unprovenSince ??= Date.now();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    return cameBack;
  }

  /** Resolves with whether the task is the owner. @throws when the signal aborts */
  async isProven(signal: AbortSignal): Promise<boolean> {
    const asked = this.#owner;
    if (asked?.channels === undefined) return false;
    if (!this.#connection.blocked) this.#store();
    while (!this.#connection.blocked) {
      const now = this.#owner;
      if (now?.epoch !== asked.epoch || now.channels !== asked.channels) return false;
      // One that is under way was begun before the question.
      if (now.held > asked.commit) break;
      await orAborted(
        orAfter(this.#changed.promise, LOOK_AGAIN_MS, () => undefined),
        signal,
      );
    }
    return true;
  }

  /** The broker has confirmed this record. */
  watch(commit: number): void {
    const asked = this.#owner;
    asked?.channels?.after(this.#withinMs, () => {
      const now = this.#owner;
      if (now?.epoch === asked.epoch && now.channels !== undefined && now.held < commit && !this.#connection.blocked)
        this.#connection.fail(`the group record was not delivered back within ${this.#withinMs / 1_000} s`);
    });
  }
}
