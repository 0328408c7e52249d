// The permission that a shard asks before each connection, and what is known of those before. Without proof that this task
// is the owner of the shard it may be given too, but less and less often: then another task may own it.

import { type EndCause, isEndByDiscord } from './close-code.ts';

/** What is known of the connection before, when another one is asked for. */
export interface LastEnd {
  /** There is a session, and the connection did not end with op 9. */
  readonly resumable: boolean;
  /** Unix ms; nothing before the first connection. */
  readonly endedAt: number | undefined;
  /** Connections in a row that were permitted without proof. */
  readonly unproven: number;
  /** Another task may have resumed the session since: Discord closed the connection, or there was none yet. */
  readonly perhapsTaken: boolean;
}

/** Resolves when the shard may connect. @throws when the signal aborts */
export type AskPermission = (signal: AbortSignal, end: LastEnd) => Promise<'proven' | 'unproven'>;

/** To end a connection that works: it does not wait long for it. */
const PROVEN_WITHIN_MS = 2_000;

export class Permission {
  readonly #ask: AskPermission;
  readonly #session: { readonly resumable: object | undefined };
  #endedAt: number | undefined;
  #endedByOp9 = false;
  #perhapsTaken = true;
  #unproven = 0;

  constructor(ask: AskPermission, session: { readonly resumable: object | undefined }) {
    this.#ask = ask;
    this.#session = session;
  }

  /** Resolves when the shard may connect. @throws when the signal aborts */
  async toConnect(signal: AbortSignal): Promise<void> {
    const proof = await this.#ask(signal, this.#lastEnd);
    this.#unproven = proof === 'proven' ? 0 : this.#unproven + 1;
  }

  /** A proof ends the row of connections without one, also where it comes while the last of them works. */
  async untilProven(signal: AbortSignal): Promise<void> {
    if (this.#unproven === 0) return;
    // So that it waits for nothing but the proof.
    const end = { ...this.#lastEnd, resumable: false };
    const proof = await this.#ask(signal, end).catch(() => undefined);
    if (proof === 'proven') this.#unproven = 0;
  }

  /** Whether there is a proof, soon: then a connection that works may be ended. */
  async isProven(signal: AbortSignal): Promise<boolean> {
    const soon = AbortSignal.any([signal, AbortSignal.timeout(PROVEN_WITHIN_MS)]);
    return await this.#ask(soon, this.#lastEnd).then(
      (proof) => proof === 'proven',
      () => false,
    );
  }

  /** As `LastEnd` has it. */
  get perhapsTaken(): boolean {
    return this.#perhapsTaken;
  }

  /** A connection ended. @param at Unix ms @param wasReady READY or RESUMED came: the session was this task's */
  ended(at: number, end: EndCause, wasReady: boolean): void {
    this.#endedAt = at;
    this.#endedByOp9 = end.how === 'op 9';
    this.#perhapsTaken = isEndByDiscord(end) || (this.#perhapsTaken && !wasReady);
  }

  get #lastEnd(): LastEnd {
    const resumable = this.#session.resumable !== undefined && !this.#endedByOp9;
    return { resumable, endedAt: this.#endedAt, unproven: this.#unproven, perhapsTaken: this.#perhapsTaken };
  }
}
