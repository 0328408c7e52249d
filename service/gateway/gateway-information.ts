// Get Gateway Bot: the gateway's address, the recommended number of shards, and what is left of today's IDENTIFYs. An answer
// is kept for a moment only, because every process with the token uses the same budget. After the first answer it is also
// fetched every few minutes, because metrics report the numbers. All callers share one request. A pause lasts longer than the
// callers that wait for it, so that Discord is never asked sooner than it allows.
// https://docs.discord.com/developers/events/gateway#get-gateway-bot

import { type APIGatewayBotInfo, Routes } from 'discord-api-types/v10';
import { errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { backoffMs, orAborted, sleep } from '../wait.ts';
import type { BotToken } from './bot-token.ts';
import { type GatewayBot, type GatewayBotAnswer, readGatewayBotAnswer } from './gateway-bot-answer.ts';
import { InvalidRequests } from './invalid-requests.ts';
import { restRequest } from './rest-request.ts';
import { SharedWait } from './shared-wait.ts';

interface GatewayInformationOptions {
  /** REST base without version. */
  readonly apiUrl: string;
  readonly token: BotToken;
  readonly metrics: Pick<Metrics, 'add'>;
  readonly log: Log;
}

const KEEP_MS = 2_000;
const FETCH_EVERY_MS = 180_000;
/** Added to a pause that Discord asks for: tasks that were refused together do not ask together again. */
const MOST_JITTER_MS = 10_000;

export class GatewayInformation {
  readonly #options: GatewayInformationOptions;
  readonly #invalid = new InvalidRequests();
  readonly #fetching = new SharedWait((signal) => this.#fetch(signal));
  #latest: { readonly info: APIGatewayBotInfo; readonly at: number } | undefined;
  /** More than one only for a moment, when one replaces another. */
  #asking = 0;
  /** In a row; the following are of the last one. */
  #failures = 0;
  #reason: string | undefined;
  #problem: string | undefined;
  #limited = false;
  #pause: Promise<void> = Promise.resolve();
  #refusedAddress: string | undefined;
  #unansweredSince: number | undefined;

  constructor(options: GatewayInformationOptions) {
    this.#options = options;
  }

  /** The last usable answer, however old. */
  get latest(): APIGatewayBotInfo | undefined {
    return this.#latest?.info;
  }

  /** When Discord renews the budget of IDENTIFYs, by the last answer, Unix ms. */
  get resetAt(): number | undefined {
    return this.#latest && this.#latest.at + this.#latest.info.session_start_limit.reset_after;
  }

  /** Why there is no answer now, in one sentence; nothing while no shard needs one. */
  get problem(): string | undefined {
    return this.#asking > 0 ? this.#problem : undefined;
  }

  /** Discord's rate limit makes requests wait now. */
  get limited(): boolean {
    return this.#asking > 0 && this.#limited;
  }

  /** Since when Discord has given no answer to requests, or none that can be used, Unix ms. A refusal is an answer. */
  get unansweredSince(): number | undefined {
    return this.#unansweredSince;
  }

  /** Requests that Discord refused with 401, 403 or 429 in the last ten minutes. */
  get invalidRequests(): number {
    return this.#invalid.count(Date.now());
  }

  /** A fresh answer. Retries indefinitely while there is no usable one. @throws when the signal aborts */
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
    this.#asking += 1;
    try {
      for (;;) {
        await orAborted(this.#pause, signal);
        const info = await this.#ask(signal);
        if (info !== undefined) return info;
      }
    } finally {
      this.#asking -= 1;
    }
  }

  /** Ends with the process, and does not keep it alive. After a failure it does not ask sooner: no shard waits for it. */
  async #fetchEvery(): Promise<never> {
    const { signal } = new AbortController();
    for (;;) {
      await sleep(FETCH_EVERY_MS);
      await this.#pause;
      if (this.#asking === 0) await this.#ask(signal);
    }
  }

  /** One request. @returns nothing when there is no usable answer: then there is a pause */
  async #ask(signal: AbortSignal): Promise<APIGatewayBotInfo | undefined> {
    const { apiUrl, token } = this.#options;
    const value = await token.usable(signal);
    const askedAt = Date.now();
    let answer = await restRequest(`${apiUrl}/v10${Routes.gatewayBot()}`, value, signal)
      .then((received) => readGatewayBotAnswer(received, apiUrl, Date.now()))
      .catch((error: unknown): GatewayBotAnswer => {
        signal.throwIfAborted();
        return { kind: 'unusable', reason: errorMessage(error) };
      });
    const wanted = this.#asking > 0;
    if (answer.kind !== 'unusable') this.#unansweredSince = undefined;
    else if (wanted) this.#unansweredSince ??= askedAt;
    if (answer.kind === 'information') {
      const url = this.#addressOf(answer);
      if (url !== undefined) return this.#keep(url, answer);
      answer = { kind: 'unusable', reason: `the token may not be sent to the address that it names, ${answer.named}` };
    }
    this.#failures += 1;
    this.#limited = answer.kind === 'refused' && answer.limited;
    if (answer.kind !== 'unusable') this.#invalid.add(Date.now());
    // Outages refuse good tokens: without a shard that needs it now, the token stays usable. But it is read again.
    if (answer.kind === 'unusable' || (answer.kind === 'token rejected' && !wanted))
      this.#problem = this.#retry(answer.reason);
    else this.#problem = this.#refused(answer);
    this.#reason = answer.reason;
    if (answer.kind === 'token rejected')
      if (wanted) token.reject(value, answer.reason);
      else await token.refresh();
    return undefined;
  }

  #keep(url: string, { shards, session_start_limit }: GatewayBot): APIGatewayBotInfo {
    const { log } = this.#options;
    if (this.#failures > 0) log.info({ failures: this.#failures }, 'Discord answers Get Gateway Bot again');
    this.#failures = 0;
    this.#reason = this.#problem = undefined;
    this.#limited = false;
    if (this.#latest === undefined) void this.#fetchEvery();
    const info = { url, shards, session_start_limit };
    this.#latest = { info, at: Date.now() };
    return info;
  }

  /** If the token may not be sent to the named address, the last usable one is used. */
  #addressOf({ url, named }: GatewayBot): string | undefined {
    const { log, metrics } = this.#options;
    if (url === undefined) {
      metrics.add('addressesRefused');
      if (this.#refusedAddress !== named)
        log.error({ address: named }, 'Get Gateway Bot names an address to which the token may not be sent');
    }
    this.#refusedAddress = url === undefined ? named : undefined;
    return url ?? this.#latest?.info.url;
  }

  /** @returns the problem */
  #retry(reason: string): string {
    const line = "cannot get the gateway's address from Discord; retrying";
    if (reason !== this.#reason) this.#options.log.warn({ failures: this.#failures, reason }, line);
    this.#pause = sleep(backoffMs(this.#failures));
    return `no usable answer to Get Gateway Bot: ${reason}. It is asked again`;
  }

  /** @returns the problem; nothing where the token's own is enough */
  #refused({
    pauseMs,
    reason,
  }: GatewayBotAnswer & { readonly kind: 'refused' | 'token rejected' }): string | undefined {
    const now = Date.now();
    const invalidRequests = this.#invalid.count(now);
    const banMs = this.#invalid.pauseMs(now);
    const leastMs = Math.max(pauseMs, banMs);
    if (leastMs === 0) return undefined;
    const ms = leastMs + Math.random() * MOST_JITTER_MS;
    this.#pause = sleep(ms);
    const until = new Date(now + ms).toISOString();
    const line = { until, reason, failures: this.#failures, invalidRequests };
    if (banMs > 0) this.#options.log.error(line, 'Discord refused too many requests: none is sent until then');
    else this.#options.log.warn(line, 'Discord refuses requests: none is sent until then');
    const asks = this.#limited ? 'Discord asks to wait' : 'Discord refuses requests, so none is sent';
    const near = banMs > 0 ? `. It has refused ${invalidRequests} in ten minutes, and bans at 10,000` : '';
    return `${asks} until ${until}: ${reason}${near}`;
  }
}
