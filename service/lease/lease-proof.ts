// The proof of ownership: a record that was stored after the question is delivered back, on the channels that consume. A
// connection can be dead without anybody having noticed, its node can have no majority, and the broker can have moved the
// lease to another task and left the old consumer's channel open: in none of these does it come back. Where it does not come
// in time, the connection is given up, so that another node is asked.

import { orAborted, orAfter } from '../wait.ts';
import type { LeaseChannels } from './lease-channels.ts';

/** What an owner has stored and holds. */
export interface Ownership {
  readonly epoch: number;
  /** Of the last record that was stored. */
  readonly commit: number;
  /** Of the newest record that was delivered back; 0 before the first. */
  readonly held: number;
  readonly channels: Pick<LeaseChannels, 'after'>;
}

export interface LeaseProofOptions {
  /** Nothing while the task is not the owner, or cannot know whether it is. */
  readonly owner: () => Ownership | undefined;
  /** `blocked` while the broker blocks publishers: it may take no record, so an owner stays certain. */
  readonly connection: { readonly blocked: boolean; fail(reason: string): void };
  /** Stores a record, though nothing has changed. */
  readonly store: () => void;
  /** From a record's confirm to its delivery. */
  readonly withinMs: number;
}

/** The broker may block publishers meanwhile. */
const LOOK_AGAIN_MS = 200;

export class LeaseProof {
  readonly #options: LeaseProofOptions;
  #changed = Promise.withResolvers<void>();

  constructor(options: LeaseProofOptions) {
    this.#options = options;
  }

  /** What the task has stored or holds has changed. */
  changed(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Resolves with whether the task is the owner. @throws when the signal aborts */
  async isProven(signal: AbortSignal): Promise<boolean> {
    const { connection, owner, store } = this.#options;
    const asked = owner();
    if (asked === undefined) return false;
    if (!connection.blocked) store();
    while (!connection.blocked) {
      const now = owner();
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
    const { connection, owner, withinMs } = this.#options;
    const asked = owner();
    asked?.channels.after(withinMs, () => {
      const now = owner();
      if (now?.epoch === asked.epoch && now.held < commit && !connection.blocked)
        connection.fail(`the group record was not delivered back within ${withinMs / 1_000} s`);
    });
  }
}
