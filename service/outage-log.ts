// Logs attempts that fail again and again: a line for the first failure and for each new cause, then one a minute with the
// count.

import { errorMessage } from './errors.ts';
import type { Log } from './log.ts';

const SUMMARY_EVERY_MS = 60_000;
/** What fails in more ways has one line a minute from there on. */
const MOST_CAUSES = 10;

export class OutageLog {
  readonly #log: Log;
  readonly #level: 'warn' | 'error';
  readonly #message: string;
  readonly #causes = new Set<string>();
  #failures = 0;
  /** Unix ms. */
  #since = 0;
  #lineAt = 0;

  constructor(log: Log, level: 'warn' | 'error', message: string) {
    this.#log = log;
    this.#level = level;
    this.#message = message;
  }

  /** @param fields what was tried: part of the cause */
  failed(err: unknown, fields: object = {}): void {
    const now = Date.now();
    if (this.#failures === 0) this.#since = now;
    this.#failures += 1;
    const cause = JSON.stringify([errorMessage(err), fields]);
    const isNew = !this.#causes.has(cause) && this.#causes.size < MOST_CAUSES;
    if (!isNew && now - this.#lineAt < SUMMARY_EVERY_MS) return;
    this.#causes.add(cause);
    this.#lineAt = now;
    const since = new Date(this.#since).toISOString();
    this.#log[this.#level]({ ...fields, failures: this.#failures, since, err }, this.#message);
  }

  /** An attempt succeeded. @returns fields for the line about it, if there were failures */
  over(): { readonly failures: number; readonly failedForMs: number } | undefined {
    if (this.#failures === 0) return undefined;
    const outage = { failures: this.#failures, failedForMs: Date.now() - this.#since };
    this.#failures = 0;
    this.#causes.clear();
    return outage;
  }
}
