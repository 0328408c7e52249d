// The bot's token as all shards share it: there, missing, or rejected. When it is missing or rejected nobody connects:
// it is read again until another one appears. So a bad token costs one refusal, not one for each shard.

import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { SharedWait } from './shared-wait.ts';

/** Owned here, satisfied by a `Credential<string>`. */
export interface TokenSource {
  readonly from: string;
  read(): Promise<string>;
  refresh(): Promise<boolean>;
}

const READ_AGAIN_MS = 10_000;

export class BotToken {
  readonly #source: TokenSource;
  readonly #log: Log;
  readonly #readAgainMs: number;
  #value: string | undefined;
  #rejected = false;
  #problem: string | undefined;
  readonly #reading = new SharedWait((signal) => this.#readUntilGood(signal));

  constructor(source: TokenSource, log: Log, readAgainMs = READ_AGAIN_MS) {
    this.#source = source;
    this.#log = log;
    this.#readAgainMs = readAgainMs;
  }

  /** What is wrong with it and what to do, in one sentence; nothing while it is good. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** There has never been one: a person has yet to put it in place. */
  get missing(): boolean {
    return this.#value === undefined && this.#problem !== undefined;
  }

  /** The token. Waits, for ever, until there is one that has not been rejected. @throws when the signal aborts */
  async usable(signal: AbortSignal): Promise<string> {
    if (this.#value !== undefined && !this.#rejected) return this.#value;
    return await this.#reading.join(signal);
  }

  /** Discord refused this token. One that has been replaced meanwhile is not concerned. */
  reject(token: string, reason: string): void {
    if (token !== this.#value || this.#rejected) return;
    this.#rejected = true;
    this.#say(`${reason}. Put the bot's present token into ${this.#source.from}`);
  }

  async #readUntilGood(signal: AbortSignal): Promise<string> {
    while (true) {
      signal.throwIfAborted();
      try {
        const changed = await this.#source.refresh();
        const value = await this.#source.read();
        if (changed || !this.#rejected) {
          if (this.#problem !== undefined) this.#log.info({ from: this.#source.from }, 'there is a new bot token');
          this.#rejected = false;
          this.#problem = undefined;
          this.#value = value;
          return value;
        }
      } catch (error) {
        this.#say(errorMessage(error));
      }
      await sleep(this.#readAgainMs, undefined, { signal });
    }
  }

  #say(problem: string): void {
    if (problem !== this.#problem) this.#log.error({ problem }, 'no usable bot token: waiting for another one');
    this.#problem = problem;
  }
}
