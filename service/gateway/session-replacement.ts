// A session keeps the intents of its IDENTIFY. One with others than this task's is ended on purpose, one shard after
// another, each as soon as it may IDENTIFY; until then it stays connected.

import type { Log } from '../log.ts';
import { sleep } from '../wait.ts';
import { AHEAD_MS, type IdentifyGate } from './identify-gate.ts';
import { intentNames } from './intents.ts';
import type { Turns } from './turns.ts';

export interface SessionReplacementOptions {
  readonly id: number;
  readonly session: { readonly resumable: { readonly intents?: number | undefined } | undefined };
  readonly intents: number;
  readonly gate: IdentifyGate;
  /** Shared by the shards of this task. */
  readonly turns: Turns;
  /** Whether another connection may follow. */
  readonly isProven: (signal: AbortSignal) => Promise<boolean>;
  readonly log: Log;
}

/** Before it is tried again, without proof. */
const PROOF_AGAIN_MS = 1_000;

export class SessionReplacement {
  readonly #options: SessionReplacementOptions;
  #reason: string | undefined;
  #endTurn: () => void = () => undefined;
  /** It has passed the identify gate already, if it IDENTIFYs until then. */
  #mayIdentifyUntil = 0;

  constructor(options: SessionReplacementOptions) {
    this.#options = options;
  }

  /**
   * RESUMED came. Ends the session if it has other intents, when the next may begin.
   * @param connection `endSession` says whether it does
   * @param signal the end of the connection: the next RESUMED leads here again
   */
  async resumed(connection: { endSession(): boolean } | undefined, signal: AbortSignal): Promise<void> {
    const { id, session, intents, gate, log, turns, isProven } = this.#options;
    const before = session.resumable?.intents ?? intents;
    if (before === intents) return;
    const change = { from: intentNames(before), to: intentNames(intents) };
    log.info({ shard: id, ...change }, 'the session has other intents: it will be replaced');
    try {
      this.#endTurn = await turns.take(signal);
      await gate.wait(id, signal, true);
      while (!(await isProven(signal))) {
        await sleep(PROOF_AGAIN_MS, signal);
        await gate.wait(id, signal, true);
      }
      signal.throwIfAborted();
    } catch {
      return this.#endTurn();
    }
    if (!connection?.endSession()) return this.#endTurn();
    this.#mayIdentifyUntil = Date.now() + AHEAD_MS;
    this.#reason = intentsChanged(change);
  }

  /** @returns why the session was ended with the connection, if it was. Once */
  takeReason(): string | undefined {
    const reason = this.#reason;
    this.#reason = undefined;
    return reason;
  }

  /** Resolves when the shard may IDENTIFY. @throws when the signal aborts */
  async toIdentify(signal: AbortSignal): Promise<void> {
    if (Date.now() > this.#mayIdentifyUntil) await this.#options.gate.wait(this.#options.id, signal);
    this.#mayIdentifyUntil = 0;
  }

  /** READY came, or the shard is stopped: it is the next one's turn. */
  over(): void {
    this.#endTurn();
  }
}

/** Why a session is replaced. */
export const intentsChanged = ({ from, to }: Readonly<Record<'from' | 'to', readonly string[]>>): string =>
  `intents changed from ${from.join(', ')} to ${to.join(', ')}`;
