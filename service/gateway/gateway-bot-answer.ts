// What an answer to Get Gateway Bot means. It is usable only when every part of it is what Discord documents; anything else
// (an error, a maintenance page, a proxy's answer) is described in one sentence for the log and /health. Pure.
// https://docs.discord.com/developers/events/gateway#get-gateway-bot

import { z } from 'zod';
import { BOUNDS } from '../contract/limits.ts';
import { gatewayAddress } from './gateway-address.ts';
import type { RestAnswer } from './rest-request.ts';

export type GatewayBotAnswer =
  | ({ readonly kind: 'information' } & GatewayBot)
  | { readonly kind: 'unusable'; readonly reason: string }
  /** Discord refused the request (429, 403, or a 401 that is not about the token): no other one before `pauseMs`. */
  | { readonly kind: 'refused'; readonly pauseMs: number; readonly limited: boolean; readonly reason: string }
  | { readonly kind: 'token rejected'; readonly pauseMs: 0; readonly reason: string };

export interface GatewayBot {
  /** Missing if the token may not be sent to the address that Discord named. */
  readonly url: string | undefined;
  /** The address that Discord named, for the log. */
  readonly named: string;
  readonly shards: number;
  readonly session_start_limit: z.infer<typeof SessionStartLimit>;
}

/** Discord's period is a day; a longer one would only keep shards waiting. */
const LONGEST_PERIOD_MS = 2 * 24 * 3_600_000;

const SessionStartLimit = z
  .object({
    total: z.int().min(0).max(1_000_000_000),
    remaining: z.int().min(0),
    reset_after: z.int().min(0).max(LONGEST_PERIOD_MS),
    max_concurrency: z.int().min(1).max(BOUNDS.shardCount.most),
  })
  .refine(({ remaining, total }) => remaining <= total, { error: 'expected remaining up to total' });

const Body = z.object({
  url: z.string(),
  shards: z.int().min(BOUNDS.shardCount.least).max(BOUNDS.shardCount.most),
  session_start_limit: SessionStartLimit,
});

/** https://docs.discord.com/developers/reference#error-messages */
const DiscordError = z.object({ message: z.string(), code: z.number().optional() });

/** After a refusal: Discord bans an address with 10,000 of them in ten minutes. */
const LEAST_PAUSE_MS = 60_000;
/** Cloudflare's bans last up to a day. A longer pause is taken for a mistake, and ends then. */
const LONGEST_PAUSE_MS = 7 * 24 * 3_600_000;

/** @param now Unix ms @param apiUrl see `gatewayAddress` */
export function readGatewayBotAnswer(answer: RestAnswer, apiUrl: string, now: number): GatewayBotAnswer {
  const { status } = answer;
  if (status === 200) return readInformation(answer, apiUrl);
  const reason = describe(answer);
  // A proxy's 401 is not about the token.
  if (status === 401 && DiscordError.safeParse(jsonOf(answer)).success)
    return { kind: 'token rejected', pauseMs: 0, reason: 'Discord rejected the token (401)' };
  if (status === 429 || status === 401 || status === 403)
    return { kind: 'refused', limited: status === 429, pauseMs: pauseMs(answer, now), reason };
  return { kind: 'unusable', reason };
}

function readInformation(answer: RestAnswer, apiUrl: string): GatewayBotAnswer {
  const json = jsonOf(answer);
  if (json === undefined) return { kind: 'unusable', reason: `expected JSON, got ${describe(answer)}` };
  const { data, error } = Body.safeParse(json);
  if (data !== undefined) {
    const { url, ...rest } = data;
    return { kind: 'information', ...rest, url: gatewayAddress(url, apiUrl), named: withoutPath(url) };
  }
  const [issue] = error.issues;
  const field = issue?.path.join('.') || 'the answer';
  return { kind: 'unusable', reason: short(`${field}: ${issue?.message.replace(/^Invalid input: /, '')} (HTTP 200)`) };
}

/** What Discord asks for, at least a minute. @returns milliseconds */
function pauseMs(answer: RestAnswer, now: number): number {
  const { data } = z.object({ retry_after: z.number() }).safeParse(jsonOf(answer));
  const asked = Math.max(millisecondsOf(answer.retryAfter?.trim() ?? '', now), 1_000 * (data?.retry_after ?? 0));
  return Math.min(Math.max(asked, LEAST_PAUSE_MS), LONGEST_PAUSE_MS);
}

/** Seconds, or an HTTP date. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after */
function millisecondsOf(retryAfter: string, now: number): number {
  if (/^\d+(\.\d+)?$/.test(retryAfter)) return 1_000 * Number(retryAfter);
  const date = /^(mon|tue|wed|thu|fri|sat|sun)/i.test(retryAfter) ? Date.parse(retryAfter) : Number.NaN;
  return Number.isNaN(date) ? 0 : date - now;
}

/** Whatever its content type says: proxies leave that out. @returns nothing when it is none */
function jsonOf({ body }: RestAnswer): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function describe(answer: RestAnswer): string {
  const { status, contentType, location, body } = answer;
  if (status >= 300 && status < 400)
    return `HTTP ${status}, a redirect to ${withoutPath(location ?? '')}, which is not followed`;
  const { data } = DiscordError.safeParse(jsonOf(answer));
  if (data !== undefined) return `HTTP ${status}: ${short(data.message)}${data.code ? ` (code ${data.code})` : ''}`;
  const title = /<title[^>]{0,100}>([^<]{1,500})/i.exec(body)?.[1];
  if (title !== undefined) return `HTTP ${status}, a page with the title '${short(title)}'`;
  if (body.trim() === '') return `HTTP ${status} without a body`;
  return `HTTP ${status} with ${body.length} characters of '${short(contentType || 'no content type')}'`;
}

/** Without a login, too. */
function withoutPath(address: string): string {
  if (!URL.canParse(address)) return 'no full address';
  const { protocol, host } = new URL(address);
  return short(`${protocol}//${host}`);
}

const MOST_CHARACTERS = 100;

/** On one line. */
function short(text: string): string {
  const line = text.replace(/[\s\p{C}]+/gu, ' ').trim();
  return line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}…` : line;
}
