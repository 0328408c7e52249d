// A session keeps the intents of its IDENTIFY. One whose intents are not this task's is ended on purpose as soon as its shard
// may IDENTIFY, one shard after the other; until then it stays connected.

import { sleep } from '../wait.ts';
import { AHEAD_MS } from './identify-gate.ts';
import { intentNames } from './intents.ts';
import type { ShardOptions } from './shard-options.ts';

/** Before it asks for a proof again. */
const PROVE_AGAIN_MS = 1_000;

export class SessionReplacement {
  readonly #options: Pick<ShardOptions, 'id' | 'session' | 'intents' | 'gate' | 'log'>;
  readonly #isProven: (signal: AbortSignal) => Promise<boolean>;
  #reason: string | undefined;
  #unlock: () => void = () => undefined;
  /** Unix ms: an IDENTIFY until then has passed the identify gate already. */
  #mayIdentifyUntil = 0;

  /** @param isProven whether another connection may follow */
  constructor(options: ShardOptions, isProven: (signal: AbortSignal) => Promise<boolean>) {
    this.#options = options;
    this.#isProven = isProven;
  }

  /**
   * RESUMED came. Ends the session if it has other intents, when the next one may begin.
   * @param connection `endSession` returns whether it ends the session
   * @param signal the end of the connection: the next RESUMED calls this again
   */
  async resumed(connection: { endSession(): boolean } | undefined, signal: AbortSignal): Promise<void> {
    const { id, session, intents, gate, log } = this.#options;
    const before = session.resumable?.intents ?? intents;
    if (before === intents) return;
    const change = { from: intentNames(before), to: intentNames(intents) };
    log.info({ shard: id, ...change }, 'the session has other intents: it will be replaced');
    try {
      this.#unlock = await gate.replacing.lock(signal);
      await gate.wait(id, signal, true);
      while (!(await this.#isProven(signal))) {
        await sleep(PROVE_AGAIN_MS, signal);
        await gate.wait(id, signal, true);
      }
      signal.throwIfAborted();
    } catch {
      return this.#unlock();
    }
    if (!connection?.endSession()) return this.#unlock();
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

  /** READY came, or the shard is stopped: the next shard may replace its session. */
  release(): void {
    this.#unlock();
  }
}

/** Why a session is replaced. */
export const intentsChanged = ({ from, to }: Readonly<Record<'from' | 'to', readonly string[]>>): string =>
  `intents changed from ${from.join(', ')} to ${to.join(', ')}`;
