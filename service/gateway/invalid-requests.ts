// Requests that Discord's REST refused with 401, 403 or 429. Discord bans an IP address for hours after 10,000 of them in ten
// minutes; this task stops long before. Pure.
// https://docs.discord.com/developers/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans

const PERIOD_MS = 600_000;
const MOST = 100;

export class InvalidRequests {
  /** When each was refused, Unix ms. */
  #times: number[] = [];

  /** How many there were in the last ten minutes. @param now Unix ms */
  count(now: number): number {
    this.#times = this.#times.filter((time) => now - time < PERIOD_MS);
    return this.#times.length;
  }

  add(now: number): void {
    this.#times.push(now);
  }

  /** How long to send no request, so that there are never more; milliseconds. @param now Unix ms */
  pauseMs(now: number): number {
    if (this.count(now) < MOST) return 0;
    return Math.max(0, (this.#times.at(-MOST) ?? now) + PERIOD_MS - now);
  }
}
