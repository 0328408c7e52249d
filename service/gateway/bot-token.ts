// The bot's token, shared by all shards: usable, missing, or rejected. While it is missing or rejected no shard connects, and
// it is read again until its secret has a new version. Discord has refused good tokens in outages: so a rejected one is tried
// again, once a quarter of an hour.

import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { sleep } from '../wait.ts';
import { SharedWait } from './shared-wait.ts';

/** Satisfied by a `Credential<string>`. */
export interface TokenSource {
  readonly from: string;
  read(): Promise<string>;
  refresh(): Promise<boolean>;
}

const READ_AGAIN_MS = 10_000;
/** Discord bans an address after 10,000 refused requests in ten minutes. */
const TRY_AGAIN_MS = 900_000;
const WAITING = 'no usable bot token: waiting for another one';

export class BotToken {
  readonly #source: TokenSource;
  readonly #log: Log;
  readonly #readAgainMs: number;
  #value: string | undefined;
  #rejected: { readonly at: number; readonly problem: string } | undefined;
  #unreadable: string | undefined;
  /** Of the secret, since the start. */
  #versions = 0;
  readonly #reading = new SharedWait((signal) => this.#readUntilUsable(signal));

  constructor(source: TokenSource, log: Log, readAgainMs = READ_AGAIN_MS) {
    this.#source = source;
    this.#log = log;
    this.#readAgainMs = readAgainMs;
  }

  /** What is wrong with it and what to do; nothing while it is usable. */
  get problem(): string | undefined {
    return [this.#rejected?.problem, this.#unreadable].filter((each) => each !== undefined).join('. ') || undefined;
  }

  /** The last one that was read, also if it is rejected. */
  get latest(): string | undefined {
    return this.#value;
  }

  /** It was never there: a person has to put it in place. */
  get missing(): boolean {
    return this.#value === undefined && this.#unreadable !== undefined;
  }

  /** Waits, indefinitely, for a token that was not rejected, or long ago. @throws when the signal aborts */
  async usable(signal: AbortSignal): Promise<string> {
    return this.#usable ?? (await this.#reading.join(signal));
  }

  get #usable(): string | undefined {
    return this.#rejected === undefined ? this.#value : undefined;
  }

  /** Discord refused this token. Ignored if another one has replaced it. */
  reject(token: string, reason: string): void {
    if (token !== this.#usable) return;
    const again = new Date(Date.now() + TRY_AGAIN_MS).toISOString();
    const problem = `${reason}. Put the bot's current token into ${this.#source.from}. This one is tried again at ${again}`;
    this.#rejected = { at: performance.now(), problem };
    this.#log.error({ problem }, WAITING);
  }

  /** Resolves when the secret has a new version, whatever its text; never for a variable. @throws when the signal aborts */
  async renewed(signal: AbortSignal): Promise<void> {
    const before = this.#versions;
    while (this.#versions === before) {
      await sleep(this.#readAgainMs, signal);
      await this.refresh();
    }
  }

  /** Reads it again. While that fails the token in use stays. */
  async refresh(): Promise<void> {
    await this.#read().catch(() => undefined);
  }

  async #readUntilUsable(signal: AbortSignal): Promise<string> {
    while (true) {
      await this.#read().catch((err: unknown) => {
        const problem = errorMessage(err);
        if (problem !== this.#unreadable) this.#log.error({ problem, err }, WAITING);
        this.#unreadable = problem;
      });
      if (this.#rejected !== undefined && performance.now() - this.#rejected.at >= TRY_AGAIN_MS) {
        this.#log.info({ from: this.#source.from }, 'trying the rejected bot token again');
        this.#rejected = undefined;
      }
      if (this.#usable !== undefined) return this.#usable;
      await sleep(this.#readAgainMs, signal);
    }
  }

  async #read(): Promise<void> {
    const isNew = await this.#source.refresh();
    const value = await this.#source.read();
    if (isNew) {
      if (this.#value !== undefined || this.#unreadable !== undefined)
        this.#log.info({ from: this.#source.from }, 'there is a new bot token');
      this.#versions += 1;
      this.#rejected = undefined;
    }
    this.#unreadable = undefined;
    this.#value = value;
  }
}
