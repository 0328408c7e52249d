// Get Gateway Bot: the gateway's address, the recommended number of shards, and what is left of today's IDENTIFYs. Fetched
// when asked for, and kept for a moment only: every process with the token uses the same budget.
// https://docs.discord.com/developers/events/gateway#get-gateway-bot

import { DiscordAPIError, REST, RESTEvents } from '@discordjs/rest';
import { type APIGatewayBotInfo, type RESTGetAPIGatewayBotResult, Routes } from 'discord-api-types/v10';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { backoffMs, sleep } from '../wait.ts';
import type { BotToken } from './bot-token.ts';
import { SharedWait } from './shared-wait.ts';

const KEEP_MS = 2_000;
const REQUEST_DEADLINE_MS = 10_000;

export class GatewayInformation {
  readonly #rest: REST;
  readonly #token: BotToken;
  readonly #log: Log;
  #latest: { readonly info: APIGatewayBotInfo; readonly at: number } | undefined;
  readonly #fetching = new SharedWait((signal) => this.#fetch(signal));
  #problem: string | undefined;
  #limitedUntil = 0;

  /** @param apiUrl REST base without version */
  constructor(apiUrl: string, token: BotToken, log: Log) {
    this.#rest = new REST({ api: apiUrl, version: '10', timeout: REQUEST_DEADLINE_MS, retries: 1 });
    this.#token = token;
    this.#log = log;
    // The package waits by itself for as long as Discord asks.
    this.#rest.on(RESTEvents.Response, (_, { status, headers }) => {
      const seconds = status === 429 ? Number(headers.get('retry-after')) : 0;
      this.#limitedUntil = Date.now() + 1_000 * seconds;
    });
  }

  /** The last answer, however old. */
  get latest(): APIGatewayBotInfo | undefined {
    return this.#latest?.info;
  }

  /** Why there is no answer now. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Discord's rate limit makes requests wait now. */
  get limited(): boolean {
    return Date.now() < this.#limitedUntil;
  }

  /** A fresh answer. Retries indefinitely while Discord cannot be reached. @throws when the signal aborts */
  async fetch(signal: AbortSignal): Promise<APIGatewayBotInfo> {
    if (this.#latest !== undefined && Date.now() - this.#latest.at < KEEP_MS) return this.#latest.info;
    return await this.#fetching.join(signal);
  }

  /** An IDENTIFY was sent: the kept answer counts one less until the next fetch. */
  identified(): void {
    if (this.#latest === undefined) return;
    const { info, at } = this.#latest;
    const limit = info.session_start_limit;
    this.#latest = {
      at,
      info: { ...info, session_start_limit: { ...limit, remaining: Math.max(0, limit.remaining - 1) } },
    };
  }

  async #fetch(signal: AbortSignal): Promise<APIGatewayBotInfo> {
    try {
      return await this.#ask(signal);
    } finally {
      // Without a request there is no problem.
      this.#problem = undefined;
    }
  }

  async #ask(signal: AbortSignal): Promise<APIGatewayBotInfo> {
    for (let failures = 1; ; failures += 1) {
      const token = await this.#token.usable(signal);
      try {
        const info = (await this.#rest
          .setToken(token)
          .get(Routes.gatewayBot(), { signal })) as RESTGetAPIGatewayBotResult;
        this.#latest = { info, at: Date.now() };
        return info;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof DiscordAPIError && error.status === 401) {
          this.#token.reject(token, 'Discord rejected the token (401)');
          continue;
        }
        this.#problem = `Discord's REST does not answer Get Gateway Bot: ${errorMessage(error)}`;
        this.#log.warn({ failures, err: error }, "cannot get the gateway's address from Discord; retrying");
        await sleep(backoffMs(failures), signal);
      }
    }
  }
}
