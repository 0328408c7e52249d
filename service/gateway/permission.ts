// Asks for permission before each connection of a shard, with what is known of the connections before. Permission may be
// given without proof that this task owns the shard, but less and less often: another task may own it then.

import type { LastEnd } from '../last-end.ts';
import { type EndCause, isEndByDiscord } from './close-code.ts';
import type { AskPermission } from './shard-options.ts';

/** A connection that works is ended only with proof, and does not wait longer for it. */
const PROOF_DEADLINE_MS = 2_000;

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

  /** As `LastEnd` has it. */
  get perhapsTaken(): boolean {
    return this.#perhapsTaken;
  }

  /** Resolves when the shard may connect. @throws when the signal aborts */
  async toConnect(signal: AbortSignal): Promise<void> {
    const proof = await this.#ask(signal, this.#lastEnd);
    this.#unproven = proof === 'proven' ? 0 : this.#unproven + 1;
  }

  /** The connection works. A proof that comes meanwhile ends the row of connections without one. */
  async untilProven(signal: AbortSignal): Promise<void> {
    if (this.#unproven === 0) return;
    // Without a session to resume only a proof gives permission.
    const proof = await this.#ask(signal, { ...this.#lastEnd, resumable: false }).catch(() => undefined);
    if (proof === 'proven') this.#unproven = 0;
  }

  /** @returns whether a proof comes within 2 s */
  async isProven(signal: AbortSignal): Promise<boolean> {
    const soon = AbortSignal.any([signal, AbortSignal.timeout(PROOF_DEADLINE_MS)]);
    return (await this.#ask(soon, this.#lastEnd).catch(() => undefined)) === 'proven';
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
